//! HTTP as proxies speak it.

use dormouse_perf_load::http::{Error, Limits, NotSendable, Part, Reader, Redirect, redirect, write_head};
use proptest::prelude::*;

/// The parts of an answer, its body put together; what is left behind it.
fn parts(reader: &mut Reader, input: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize), Error> {
    let (mut body, mut ended) = (Vec::new(), false);
    let mut left = 0;
    for mut chunk in input.chunks(step) {
        while let Some(part) = reader.next(&mut chunk)? {
            match part {
                Part::Head => assert!(body.is_empty()),
                Part::Body(piece) => body.extend_from_slice(piece),
                Part::End => ended = true,
            }
        }
        left += chunk.len();
    }
    Ok((body, ended, left))
}

/// An answer, in one piece and byte for byte: its body, or why there is none; whether the connection may be used again.
#[track_caller]
fn answer(to_head: bool, input: &str) -> (Result<String, Error>, bool) {
    let mut all = [1, 3, usize::MAX].map(|step| {
        let mut reader = Reader::new(Limits { head: 100, chunk_line: 20 }, to_head);
        let body = parts(&mut reader, input.as_bytes(), step).and_then(|(body, ended, _)| {
            if !ended {
                reader.end()?;
            }
            Ok(String::from_utf8(body).unwrap())
        });
        (body, reader.may_reuse())
    });
    assert_eq!(all[0], all[2]);
    assert_eq!(all[1], all[2]);
    std::mem::replace(&mut all[0], (Ok(String::new()), false))
}

#[test]
fn bodies_end_in_four_ways() {
    let body = |text: &str| Ok(text.to_owned());
    for (input, wanted, again) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", body("hello"), true),
        ("HTTP/1.1 200 OK\nContent-Length: 5, 5\ncontent-length:5\n\nhello", body("hello"), true),
        ("\r\n\r\nHTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", body(""), true),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", body(""), true),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", body("to the end"), false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nto the end", body("to the end"), false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", body("hi"), false),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", body("hi"), true),
        ("HTTP/1.1 200 OK\r\nConnection: x, close\r\nContent-Length: 2\r\n\r\nhi", body("hi"), false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n00A \r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n",
            body("abc0123456789"),
            true,
        ),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n0\n\n", body("a"), true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n1\r\na\r\n0\r\n\r\n", body("a"), false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", body("a"), false),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            body("a"),
            true,
        ),
        ("HTTP/1.1 101 Switching\r\n\r\n", body(""), false),
        ("HTTP/1.1 200 OK\r\nno field at all\r\n folded\r\nContent-Length : 1\r\n\r\na", body("a"), true),
    ] {
        assert_eq!(answer(false, input), (wanted, again), "{input:?}");
    }
    assert_eq!(answer(true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), (Ok(String::new()), true));
}

#[test]
fn what_is_wrong_has_a_name() {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}");
    let chunks = |rest: &str| ok(&format!("Transfer-Encoding: chunked\r\n\r\n{rest}"));
    for (input, wanted) in [
        (String::new(), Error::NoAnswer),
        ("HTTP/1.1 200 OK\r\nConten".to_owned(), Error::TruncatedHead),
        (ok("Content-Length: 5\r\n\r\nhe"), Error::Truncated { got: 2, missing: Some(3) }),
        (chunks("5\r\nhe"), Error::Truncated { got: 2, missing: Some(3) }),
        (chunks("2\r\nhe"), Error::Truncated { got: 2, missing: None }),
        (chunks("2\r\nhe\r\n"), Error::Truncated { got: 2, missing: None }),
        (chunks("2\r\nhe\r\n1"), Error::Truncated { got: 2, missing: None }),
        ("SSH-2.0-x".to_owned(), Error::MalformedHead("not HTTP")),
        ("{\"error\": 1}".to_owned(), Error::MalformedHead("not HTTP")),
        ("HTTP/1.1 abc\r\n\r\n".to_owned(), Error::MalformedHead("no status")),
        ("HTTP/2.0 200 OK\r\n\r\n".to_owned(), Error::MalformedHead("not HTTP/1")),
        (ok("Content-Length: +5\r\n\r\n"), Error::MalformedHead("a content-length that is no number")),
        (ok("Content-Length: 18446744073709551616\r\n\r\n"), Error::MalformedHead("a content-length that is no number")),
        (ok("Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), Error::MalformedHead("two content-lengths")),
        (ok("Transfer-Encoding: gzip, chunked\r\n\r\n"), Error::UnsupportedTransfer("gzip".to_owned())),
        (ok(&format!("X: {}", "x".repeat(100))), Error::OversizedHead(100)),
        (ok(&format!("X: {}\r\n\r\n", "x".repeat(90))), Error::OversizedHead(100)),
        (chunks("\r\n"), Error::MalformedChunk("no size")),
        (chunks("xyz\r\n"), Error::MalformedChunk("no size")),
        (chunks("1g\r\n"), Error::MalformedChunk("a size that is no number")),
        (chunks("fffffffffffffffff\r\n"), Error::MalformedChunk("a size that no body has")),
        (chunks("1\r\nab"), Error::MalformedChunk("more data than its size")),
        (chunks(&format!("1;{}", "x".repeat(30))), Error::OversizedChunkLine(20)),
        (chunks(&format!("0{}1\r\n", "0".repeat(30))), Error::OversizedChunkLine(20)),
        (chunks(&format!("0\r\n{}", "X: y\r\n".repeat(30))), Error::OversizedHead(100)),
    ] {
        assert_eq!(answer(false, &input), (Err(wanted), false), "{input:?}");
    }
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A:b\r\n".repeat(200));
    let mut reader = Reader::new(Limits::default(), false);
    let wanted = Err(Error::MalformedHead("it has too many fields"));
    assert_eq!(reader.next(&mut many.as_bytes()), wanted);
    assert_eq!((reader.next(&mut b"".as_slice()), reader.end()), (wanted.clone(), wanted.map(drop)), "and it stays so");
}

#[test]
fn a_body_is_not_copied_and_what_is_behind_it_is_left() {
    let first = b"HTTP/1.1 200 Fine so\r\nContent-Length: 5\r\nX-A: \xff\r\nx-a: 2\r\n\r\nhelloHTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n";
    let (mut reader, mut left) = (Reader::new(Limits::default(), false), first.as_slice());
    assert!(!reader.has_begun());
    assert_eq!(reader.next(&mut left), Ok(Some(Part::Head)));
    let head = reader.head();
    assert_eq!((head.status(), head.reason(), head.minor_version(), head.is_success()), (200, "Fine so", 1, true));
    assert_eq!((head.get("content-LENGTH"), head.get("x-a"), head.get("y")), (Some("5"), None, None));
    assert_eq!(head.all("x-A").collect::<Vec<_>>(), [b"\xff".as_slice(), b"2"]);
    let Ok(Some(Part::Body(body))) = reader.next(&mut left) else { panic!("a body") };
    assert!(first.as_ptr_range().contains(&body.as_ptr()));
    assert_eq!(reader.next(&mut left), Ok(Some(Part::End)));
    assert!(reader.next(&mut left).unwrap().is_none() && reader.may_reuse());
    reader.restart(false);
    assert_eq!(parts(&mut reader, left, 2), Ok((Vec::new(), true, 0)));
    assert_eq!((reader.head().status(), reader.head().reason(), reader.head().is_success()), (503, "", false));
}

#[test]
fn redirects_keep_the_request_or_are_refused() {
    let of = |status: u16, location: &str| {
        let mut reader = Reader::new(Limits::default(), false);
        let answer = format!("HTTP/1.1 {status} X\r\n{location}Content-Length: 0\r\n\r\n");
        reader.next(&mut answer.as_bytes()).unwrap();
        match redirect(reader.head()) {
            Some(Redirect::Follow(to)) => format!("follow {to}"),
            Some(Redirect::Refuse(to)) => format!("refuse {to}"),
            None => "none".to_owned(),
        }
    };
    for (status, wanted) in [(307, "follow /new"), (308, "follow /new"), (301, "refuse /new"), (302, "refuse /new"), (303, "refuse /new")] {
        assert_eq!(of(status, "Location:  /new \r\n"), wanted, "{status}");
        assert_eq!(of(status, ""), "none", "{status}");
    }
    assert_eq!((of(304, "Location: /new\r\n"), of(200, "Location: /new\r\n")), ("none".to_owned(), "none".to_owned()));
}

#[test]
fn heads_of_requests() {
    let mut out = b"before".to_vec();
    let fields = [("Host", "[::1]:80"), ("X-Request-ID", "a b\u{e4}")];
    write_head(&mut out, "POST", "/v1/chat/completions?a=b", fields, Some(12)).unwrap();
    let wanted = "beforePOST /v1/chat/completions?a=b HTTP/1.1\r\nHost: [::1]:80\r\nX-Request-ID: a b\u{e4}\r\nContent-Length: 12\r\n\r\n";
    assert_eq!(String::from_utf8(out.clone()).unwrap(), wanted);
    let mut refused = |method: &str, target: &str, name: &str, value: &str| {
        let error = write_head(&mut out, method, target, [(name, value)], None).unwrap_err();
        assert_eq!(out.len(), wanted.len(), "nothing of it is left");
        error
    };
    assert_eq!(refused("PO ST", "/", "a", "b"), NotSendable::Method("PO ST".to_owned()));
    assert_eq!(refused("GET", "/a b", "a", "b"), NotSendable::Target("/a b".to_owned()));
    assert_eq!(refused("GET", "", "a", "b"), NotSendable::Target(String::new()));
    assert_eq!(refused("GET", "/", "a:", "b"), NotSendable::Name("a:".to_owned()));
    assert_eq!(refused("GET", "/", "a", "b\r\nc: d"), NotSendable::Value("a".to_owned()));
    write_head(&mut out, "GET", "/", [], None).unwrap();
    assert!(out.ends_with(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_body(
        pieces in prop::collection::vec("[a-z\r\n]{1,20}", 0..6),
        extension in "(;[a-z]{0,5})?",
        steps in (1_usize..40, 1_usize..40),
    ) {
        let mut input = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in &pieces {
            input.extend(format!("{:X}{extension}\r\n{piece}\r\n", piece.len()).bytes());
        }
        input.extend(b"000\r\nT: x\r\n\r\nbehind");
        for step in [steps.0, steps.1, usize::MAX] {
            let mut reader = Reader::new(Limits::default(), false);
            prop_assert_eq!(parts(&mut reader, &input, step), Ok((pieces.concat().into_bytes(), true, 6)));
            prop_assert!(reader.may_reuse());
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_in_one_piece_and_in_many(
        head in "(HTTP/1\\.[01] [1-5][0-9][0-9] ?[A-Z]{0,3}\r?\n)?((Content-Length|Transfer-Encoding|Connection): ?(chunked|[0-9]{1,2}|close)\r?\n){0,3}(\r?\n)?",
        rest in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), Just(b';'), any::<u8>()], 0..60),
        step in 1_usize..9,
    ) {
        let input = [head.as_bytes(), &rest].concat();
        let read = |step| {
            let mut reader = Reader::new(Limits { head: 80, chunk_line: 9 }, false);
            let parts = parts(&mut reader, &input, step);
            let end = reader.end();
            (parts, end, reader.may_reuse())
        };
        prop_assert_eq!(read(step), read(usize::MAX));
    }
}

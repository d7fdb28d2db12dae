//! The least that a client over hyper does: a request, and its body read to the end. No stamps, no events, no records.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Requests per second, and processor time in seconds.
pub(crate) fn run(address: &str, connections: usize, requests: usize, stream: bool) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = format!(
        "{{\"messages\":[{{\"role\":\"user\",\"content\":\"one two three four five six seven eight nine 10\"}}],\"model\":\"mock\",\
         \"stream\":{stream}}}"
    );
    let body = Bytes::from(body);
    let cpu = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    };
    let (begin, used) = (Instant::now(), cpu(ClockId::ThreadCPUTime));
    let left = Rc::new(Cell::new(requests));
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let (left, body, address) = (left.clone(), body.clone(), address.to_owned());
            tasks.push(tokio::task::spawn_local(async move {
                let socket = TcpStream::connect(&address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                let (mut sender, connection) = handshake(TokioIo::new(socket)).await.unwrap();
                tokio::task::spawn_local(connection);
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    let request = Request::builder()
                        .method(Method::POST)
                        .uri("/v1/chat/completions")
                        .header("host", &address)
                        .header("content-type", "application/json")
                        .body(Full::new(body.clone()))
                        .unwrap();
                    let mut answer = sender.send_request(request).await.unwrap();
                    while let Some(frame) = answer.body_mut().frame().await {
                        frame.unwrap();
                    }
                    sender.ready().await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    (requests as f64 / begin.elapsed().as_secs_f64(), cpu(ClockId::ThreadCPUTime) - used)
}

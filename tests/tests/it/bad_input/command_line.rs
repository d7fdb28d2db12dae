//! What can be wrong with a command line and the machine it is typed on.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Said, Up, run, until, wait_for_exit};

const LIMIT: Duration = Duration::from_secs(30);

fn said(folder: &Path, args: &[&str]) -> Said {
    run(Up::command(folder).args(args), "", LIMIT)
}

#[test]
fn a_bad_command_line_is_named_and_ends_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, "- match: busybox\n  comand: [sh]\n").unwrap();
    let rules = rules.to_str().unwrap();
    let torn = folder.path().join("torn.yaml");
    std::fs::write(&torn, "- match: busybox\n  command: [sh\n").unwrap();
    let torn = torn.to_str().unwrap();
    let cases: [(&[&str], &[&str]); 19] = [
        (&["up", "--nodez", "3"], &["'--nodez'", "'--nodes'"]),
        (&["upp"], &["'upp'", "'up'"]),
        (&["requester", "--bogus"], &["'--bogus'"]),
        (&["up", "--nodes", "0"], &["'0'", "--nodes", "1..=250"]),
        (&["up", "--listen", "nowhere"], &["'nowhere'", "--listen <ADDR:PORT>"]),
        (&["up", "--gpu-memory", "many"], &["--gpu-memory", "\"many\""]),
        (&["up", "--restart-backoff", "soon"], &["--restart-backoff", "\"soon\"", "10s"]),
        (&["up", "--controllers", "dual-pods,cron"], &["--controllers", "\"cron\"", "launcher-populator"]),
        (&["up", "--controllers", "dual-pods,trainer"], &["--controllers", "trainer", "planned"]),
        (&["up", "--node-names", "a,A_B"], &["--node-names", "\"A_B\"", "lower case"]),
        (&["up", "--namespace", "Foo", "--detach"], &["--namespace", "\"Foo\"", "lower case"]),
        (&["up", "--gpu-product", "''"], &["--gpu-product", "\"''\"", "a valid label"]),
        (&["demo", "--link", "0"], &["--link", "positive"]),
        (&["demo", "--engine", "host"], &["--engine host", "vllm", "PATH"]),
        (&["up", "--name", "a/b"], &["\"a/b\"", "letters, digits"]),
        (&["up", "--data-dir", "x"], &["--data-dir", "leave it out"]),
        (&["up", "--images", "missing.yaml"], &["--images", "missing.yaml", "No such file"]),
        (&["up", "--images", rules], &["--images", rules, "`comand`", "`workingDir`"]),
        (&["up", "--images", torn], &["--images", torn, "line"]),
    ];
    for (args, parts) in cases {
        // No program of this machine is found, a vLLM for one.
        let said = run(Up::command(folder.path()).env("PATH", folder.path()).args(args), "", LIMIT);
        assert_eq!(said.code(), Some(2), "{args:?}: {}", said.all());
        for part in parts {
            assert!(said.err.contains(part), "{args:?}: {part:?} is not in {}", said.err);
        }
        let errors = said.err.lines().filter(|l| l.starts_with("error:")).count();
        assert_eq!((errors, said.out.as_str()), (1, ""), "{args:?}: one error, to standard error: {}", said.all());
    }
    // Nothing is running, which is what `down` is for; the others say what to do.
    let down = said(folder.path(), &["down", "--name", "nobody"]);
    assert!(down.code() == Some(0) && down.out.contains("\"nobody\""), "{}", down.all());
    for verb in ["status", "devices"] {
        let said = said(folder.path(), &[verb, "--name", "nobody"]);
        assert!(said.code() == Some(1) && said.err.contains("\"nobody\"") && said.err.contains("dormouse up"), "{}", said.all());
    }
}

#[test]
fn a_cause_is_said_once_and_without_what_surrounds_it() {
    let folder = tempfile::tempdir().unwrap();
    let lost = said(folder.path(), &["up", "--listen", "127.0.0.1:0", "--kubeconfig", "/proc/self/no/kc"]);
    assert_eq!(lost.code(), Some(1), "{}", lost.all());
    assert_eq!((lost.err.matches("(os error").count(), lost.err.matches("/proc/self/no/kc").count()), (1, 1), "{}", lost.err);

    let up = Up::start(&["--controllers", "none"]);
    let kubeconfig = up.kubeconfig();
    let sync = said(up.folder(), &["gpu-map", "sync", "-n", "nosuch", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    assert_eq!((sync.code(), sync.err.as_str()), (Some(1), "error: API server: namespaces \"nosuch\" not found\n"));
    // A plane that is named is meant, whatever else there is to look at.
    let mut other = Up::command(up.folder());
    let other = run(other.args(["status", "--name", "nobody"]).env("KUBECONFIG", &kubeconfig), "", LIMIT);
    assert!(other.code() == Some(1) && other.out.is_empty() && other.err.contains("\"nobody\""), "{}", other.all());
    let mut any = Up::command(up.folder());
    let any = run(any.arg("status").env("KUBECONFIG", &kubeconfig), "", LIMIT);
    assert!(any.code() == Some(0) && any.out.contains("dormouse-1"), "{}", any.all());
    up.end();
}

#[test]
fn a_port_in_use_names_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = said(folder.path(), &["up", "--listen", &address]);
    assert_eq!(said.code(), Some(3), "{}", said.all());
    for part in [address.as_str(), &format!("process {}", std::process::id()), "--listen"] {
        assert!(said.err.contains(part), "{part:?} is not in {}", said.err);
    }
    assert_eq!(said.err.lines().filter(|l| l.starts_with("error:")).count(), 1, "{}", said.err);
}

#[test]
fn a_second_up_under_one_name_is_refused_and_the_first_goes_on() {
    let up = Up::start(&["--controllers", "none"]);
    let first = format!("process {}", up.pid());
    for more in [&["--listen", "127.0.0.1:0"][..], &["--detach", "--listen", "127.0.0.1:0"]] {
        let said = said(up.folder(), &[&["up", "--name", up.name()], more].concat());
        assert_eq!(said.code(), Some(3), "{}", said.all());
        let names_it = more.contains(&"--detach") || said.err.contains(&first);
        assert!(names_it && said.err.contains(&format!("dormouse down --name {}", up.name())), "{}", said.err);
    }
    assert_eq!(up.api().list("/api/v1/nodes").len(), 1, "the first one answers");
    // Under another name there is room for one more; `down` ends it, and only it.
    let other = said(up.folder(), &["up", "--name", "other", "--detach", "--listen", "127.0.0.1:0", "--controllers", "none"]);
    assert!(other.code() == Some(0) && other.out.contains("dormouse down --name other"), "{}", other.all());
    let status = said(up.folder(), &["status", "--name", "other"]);
    assert!(status.code() == Some(0) && status.out.contains("dormouse-1"), "{}", status.all());
    let down = said(up.folder(), &["down", "--name", "other"]);
    assert!(down.code() == Some(0) && down.out.contains("ended"), "{}", down.all());
    assert_eq!(said(up.folder(), &["status", "--name", "other"]).code(), Some(1), "it has gone");
    assert_eq!(up.api().list("/api/v1/nodes").len(), 1, "the first one answers");
    up.end();
}

#[test]
fn a_closed_output_pipe_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["crds"][..], &["--help"], &["up", "--help"], &["completions", "bash"], &["down", "--name", "nobody"]] {
        let mut child = Up::command(folder.path()).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The reader goes before the first byte comes, or after some.
        drop(child.stdout.take());
        let status = wait_for_exit(&mut child, LIMIT).expect("it ends");
        let mut errors = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut errors).unwrap();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{args:?}");
    }
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" crds | head -n 1", crate::support::dormouse().to_str().unwrap()]);
    let said = run(&mut shell, "", LIMIT);
    assert_eq!((said.code(), said.out.as_str(), said.err.as_str()), (Some(0), "---\n", ""));

    // A plane whose reader goes away goes on.
    let mut command = Up::command(folder.path());
    command.args(["up", "--name", "deaf", "--listen", "127.0.0.1:0", "--controllers", "none"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    until("it is ready all the same", LIMIT, || {
        assert_eq!(child.try_wait().unwrap(), None, "it goes on");
        (self::said(folder.path(), &["status", "--name", "deaf"]).code() == Some(0)).then_some(())
    });
    let down = self::said(folder.path(), &["down", "--name", "deaf"]);
    assert_eq!(down.code(), Some(0), "{}", down.all());
    assert_eq!(wait_for_exit(&mut child, LIMIT).expect("it ends").code(), Some(0));
}

#[test]
fn a_model_folder_that_lacks_something_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny");
    let made = said(folder.path(), &["engine", "make-model", model.to_str().unwrap(), "--size", "1MB"]);
    assert_eq!(made.code(), Some(0), "{}", made.all());
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    for (name, part) in [(model.to_str().unwrap(), "tokenizer.json"), ("no-one/has-this", "make-model")] {
        let said = said(folder.path(), &["engine", "embedded", name, "--port", "0"]);
        assert_eq!(said.code(), Some(1), "{}", said.all());
        let error = said.err.split_once("error: ").unwrap_or_else(|| panic!("no error in {}", said.err)).1;
        for part in [name, part, "dormouse engine make-model"] {
            assert!(error.contains(part), "{part:?} is not in {error:?}");
        }
    }
}

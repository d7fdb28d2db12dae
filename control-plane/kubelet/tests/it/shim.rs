//! Runs below a shim: output, exit codes, signals, and that nothing survives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_kubelet::shim::{Mount, Place, Run, RunSpec, Sandbox, Shim};
use tokio::io::AsyncReadExt;

use super::SHIM;

async fn shim() -> Shim {
    Shim::start(Path::new(SHIM), "test", &[]).await.unwrap()
}

fn sh(script: &str) -> RunSpec {
    RunSpec {
        program: "/bin/sh".into(),
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: vec!["PATH=/usr/bin:/bin".into(), "A=b c".into()],
        ..RunSpec::default()
    }
}

struct Finished {
    code: i32,
    signal: Option<i32>,
    stdout: String,
}

async fn finish(run: Run) -> Result<Finished, String> {
    let (mut reports, _control, mut stdout, _stderr) = run.split();
    reports.started().await?;
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.unwrap();
    let (code, signal) = reports.exited().await.unwrap();
    Ok(Finished { code, signal, stdout: text })
}

async fn output(shim: &Shim, spec: &RunSpec) -> Finished {
    finish(shim.run(spec).await.unwrap()).await.unwrap()
}

/// Whether a process exists that is not a zombie.
pub(crate) fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s[s.rfind(')').unwrap()..].starts_with(") Z"))
}

/// Waits until a condition holds, a little longer each time.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut pause = Duration::from_millis(1);
    for _ in 0..40 {
        if holds() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
    panic!("did not come to pass: {what}");
}

#[tokio::test]
async fn output_environment_and_exit_codes() {
    let shim = shim().await;
    let o = output(&shim, &sh("echo \"$A:$HOME:$PWD\"; exit 7")).await;
    assert_eq!((o.stdout.as_str(), o.code, o.signal), ("b c::/\n", 7, None));
    let o = output(&shim, &sh("kill -9 $$")).await;
    assert_eq!((o.code, o.signal), (137, Some(9)));
    shim.end().await;
}

#[tokio::test]
async fn what_cannot_be_executed_says_why() {
    let shim = shim().await;
    let missing = RunSpec { program: "/nonexistent/program".into(), argv: vec!["x".into()], ..RunSpec::default() };
    let error = finish(shim.run(&missing).await.unwrap()).await.err().unwrap();
    assert!(error.contains("/nonexistent/program") && error.contains("No such file"), "{error}");
    let folder = RunSpec { cwd: Some("/proc/nonexistent".into()), ..sh("true") };
    let error = finish(shim.run(&folder).await.unwrap()).await.err().unwrap();
    assert!(error.contains("working directory"), "{error}");
}

#[tokio::test]
async fn signals_reach_the_group_and_defaults_are_restored() {
    let shim = shim().await;
    let (mut reports, control, mut stdout, _stderr) =
        shim.run(&sh("trap 'echo got; exit 3' TERM; echo ready; sleep 60 & wait")).await.unwrap().split();
    reports.started().await.unwrap();
    let mut byte = [0; 6];
    stdout.read_exact(&mut byte).await.unwrap();
    control.signal(15);
    assert_eq!(reports.exited().await, Some((3, None)));
    // A reader that goes away must end the writer: SIGPIPE has its default meaning.
    let o = output(&shim, &sh("yes | head -1 >/dev/null; grep SigIgn /proc/self/status")).await;
    let ignored = u64::from_str_radix(o.stdout.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(ignored & 0x7fff_ffff, 0, "no ordinary signal is ignored");
}

#[tokio::test]
async fn the_end_of_the_main_process_ends_what_called_setsid() {
    let shim = shim().await;
    let o = output(&shim, &sh("setsid sh -c 'sleep 60 >/dev/null 2>&1 & echo $!' </dev/null; exit 0")).await;
    let escaped: i32 = o.stdout.trim().parse().unwrap();
    assert!(!alive(escaped), "the end is reported when nothing is left");
}

#[tokio::test]
async fn dropping_the_control_kills_the_run_and_dropping_the_shim_kills_all() {
    let shim = shim().await;
    let (mut reports, control, mut stdout, _e) = shim.run(&sh("setsid sleep 60 & echo $!; exec sleep 60")).await.unwrap().split();
    let (pid, _) = reports.started().await.unwrap();
    let mut text = [0; 64];
    let n = stdout.read(&mut text).await.unwrap();
    let escaped: i32 = std::str::from_utf8(&text[..n]).unwrap().trim().parse().unwrap();
    drop(control);
    assert_eq!(reports.exited().await, Some((137, Some(9))));
    assert!(!alive(pid) && !alive(escaped));

    let (mut reports, _control, _o, _e) = shim.run(&sh("exec sleep 60")).await.unwrap().split();
    let (pid, init) = reports.started().await.unwrap();
    drop(shim);
    eventually("the shim's processes end", || !alive(pid) && !alive(init)).await;
}

#[tokio::test]
async fn a_killed_init_takes_its_container_along() {
    let shim = shim().await;
    let (mut reports, _control, mut stdout, _e) = shim.run(&sh("setsid sleep 60 & echo $!; exec sleep 60")).await.unwrap().split();
    let (pid, init) = reports.started().await.unwrap();
    let mut text = [0; 64];
    let n = stdout.read(&mut text).await.unwrap();
    let escaped: i32 = std::str::from_utf8(&text[..n]).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(init).unwrap(), rustix::process::Signal::KILL).unwrap();
    assert_eq!(reports.exited().await, None);
    eventually("the container ends with its init", || !alive(pid) && !alive(escaped)).await;
    assert_eq!(output(&shim, &sh("exit 0")).await.code, 0, "the shim goes on");
}

struct Stage {
    _dir: tempfile::TempDir,
    at: PathBuf,
}

/// A folder with a root, a volume and a file; `None` when this kernel gives no namespaces, said aloud.
async fn stage(shim: &Shim) -> Option<Stage> {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().canonicalize().unwrap();
    for d in ["root", "vol", "tmp"] {
        std::fs::create_dir(at.join(d)).unwrap();
    }
    std::fs::write(at.join("vol/f"), "volume\n").unwrap();
    std::fs::write(at.join("hosts"), "my hosts\n").unwrap();
    let attempt = RunSpec { place: Place::Try(Sandbox { root: at.join("root"), mounts: vec![] }), ..RunSpec::default() };
    let (mut reports, _c, _o, _e) = shim.run(&attempt).await.unwrap().split();
    if reports.exited().await != Some((0, None)) {
        dormouse_runtime::output::error_line("SKIPPED: this kernel gives no mount namespaces");
        return None;
    }
    Some(Stage { _dir: dir, at })
}

fn mount(source: PathBuf, target: &str, read_only: bool) -> Mount {
    Mount { source, target: target.into(), read_only }
}

#[tokio::test]
async fn a_sandbox_shows_the_host_and_the_mounts_at_their_paths() {
    let shim = shim().await;
    let Some(stage) = stage(&shim).await else { return };
    let mounts = vec![
        mount(stage.at.join("tmp"), "/tmp", false),
        mount(stage.at.join("vol"), "/data", true),
        mount(stage.at.join("hosts"), "/etc/hosts", false),
        mount(stage.at.join("hosts"), "/dev/termination-log", false),
        mount(stage.at.join("vol"), "/var/run/secrets/kubernetes.io/serviceaccount", true),
        mount(stage.at.join("tmp"), "/data/nested", false),
    ];
    let script = "cat /data/f /etc/hosts /run/secrets/kubernetes.io/serviceaccount/f; touch /data/no 2>/dev/null || echo read-only; \
                  echo x > /tmp/mine; echo y > /data/nested/deep; ls -d /usr/bin /proc/self /dev/null; ls /tmp; \
                  echo last > /dev/termination-log; id -u; mount | wc -l >/dev/null && echo done";
    let spec = RunSpec { place: Place::New(Sandbox { root: stage.at.join("root"), mounts }), ..sh(script) };
    let o = output(&shim, &spec).await;
    let uid = rustix::process::geteuid().as_raw();
    let want = format!("volume\nmy hosts\nvolume\nread-only\n/dev/null\n/proc/self\n/usr/bin\ndeep\nmine\n{uid}\ndone\n");
    assert_eq!((o.stdout.as_str(), o.code), (want.as_str(), 0));
    assert_eq!(std::fs::read_to_string(stage.at.join("tmp/mine")).unwrap(), "x\n");
    assert_eq!(std::fs::read_to_string(stage.at.join("hosts")).unwrap(), "last\n");
    assert!(std::fs::read_dir(stage.at.join("root")).unwrap().next().is_none(), "on the host the root stays empty");
}

#[tokio::test]
async fn an_exec_sees_what_the_container_sees() {
    let shim = shim().await;
    let Some(stage) = stage(&shim).await else { return };
    let mounts = vec![mount(stage.at.join("vol"), "/data", false)];
    let spec = RunSpec { place: Place::New(Sandbox { root: stage.at.join("root"), mounts }), ..sh("echo up; exec sleep 60") };
    let (mut reports, control, mut stdout, _e) = shim.run(&spec).await.unwrap().split();
    let (_, init) = reports.started().await.unwrap();
    stdout.read_exact(&mut [0; 3]).await.unwrap();
    let exec = RunSpec { place: Place::Join(init), ..sh("cat /data/f; pwd") };
    let o = output(&shim, &exec).await;
    assert_eq!(o.stdout, "volume\n/\n");
    drop(control);
    assert_eq!(reports.exited().await, Some((137, Some(9))));
}

/// Prints what the parts of a start cost. Run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn measure_the_parts_of_a_start() {
    let mut parts: Vec<[Duration; 4]> = Vec::new();
    for _ in 0..20 {
        let t0 = std::time::Instant::now();
        let shim = shim().await;
        let t1 = std::time::Instant::now();
        let (mut reports, control, _o, _e) = shim.run(&sh("exec sleep 60")).await.unwrap().split();
        reports.started().await.unwrap();
        let t2 = std::time::Instant::now();
        let (mut second, _c2, _o2, _e2) = shim.run(&sh("exec sleep 60")).await.unwrap().split();
        second.started().await.unwrap();
        let t3 = std::time::Instant::now();
        drop(control);
        reports.exited().await;
        shim.end().await;
        parts.push([t1 - t0, t2 - t1, t3 - t2, t3.elapsed()]);
    }
    for (i, what) in ["spawn", "shim's start and first run", "second run", "end"].iter().enumerate() {
        let mut column: Vec<Duration> = parts.iter().map(|p| p[i]).collect();
        column.sort();
        println!("{what}: median {:?} max {:?}", column[10], column[19]);
    }
}

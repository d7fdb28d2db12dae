//! Commands that follow: `get -w`, `logs -f`.

use std::time::Duration;

use super::{BARE, SOON, pod, set};
use crate::support::{Kubectl, Up, until};

#[test]
fn kubectl_follows() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&BARE);
    let k = kubectl.on(&up);

    // A watch shows each state as it comes.
    let mut watch = k.follow("get pods -w --output-watch-events");
    k.feed("apply -f -", &pod("life", "", "sleep 0.3"));
    for (event, state) in [("ADDED", "Pending"), ("MODIFIED", "Running"), ("MODIFIED", "Completed")] {
        watch.line(state, SOON, |l| l.starts_with(event) && l.contains("life") && l.contains(state));
    }
    k.ok("delete pod life");
    watch.line("DELETED", SOON, |l| l.starts_with("DELETED") && l.contains("life"));
    drop(watch);
    k.feed("apply -f -", &set("Deployment", "web", 1));
    let mut watch = k.follow("get deployment web -w -o custom-columns=READY:.status.readyReplicas --no-headers");
    k.ok("scale deployment web --replicas=3");
    watch.line("3", SOON, |l| l.trim() == "3");
    drop(watch);

    // Logs come while they are written, and end with the container.
    let gate = up.folder().join("gate");
    std::fs::create_dir(&gate).unwrap();
    let line = "echo one; sleep 0.1; echo two >&2; while [ ! -e /gate/open ]; do sleep 0.05; done; echo three";
    // A Pod's /tmp is its own: the folder comes in as a volume.
    let volume = format!("  volumes: [{{name: gate, hostPath: {{path: {}}}}}]\n", gate.display());
    k.feed("apply -f -", &format!("{}    volumeMounts: [{{name: gate, mountPath: /gate}}]\n{volume}", pod("talk", "", line)));
    until("it runs", SOON, || up.api().pod("talk").filter(|p| p["status"]["phase"] == "Running"));
    let mut logs = k.follow("logs -f talk");
    logs.line("one", SOON, |l| l == "one");
    logs.line("two", SOON, |l| l == "two");
    std::fs::write(gate.join("open"), "").unwrap();
    logs.line("three", SOON, |l| l == "three");
    k.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/talk --timeout=30s");
    assert_eq!(k.ok("logs -f talk"), "one\ntwo\nthree\n", "a log that is complete ends");
    assert_eq!(k.ok("logs talk --tail=1"), "three\n");
    assert_eq!(k.ok("logs talk --limit-bytes=5"), "one\nt");
    let stamped = k.ok("logs talk --timestamps --tail=1");
    assert!(stamped.starts_with("20") && stamped.contains('T') && stamped.ends_with(" three\n"), "{stamped}");
    assert_eq!(k.ok("logs talk -c main --since=1h"), "one\ntwo\nthree\n");
    assert!(k.fails("logs talk -c nobody").contains("container nobody is not valid for pod talk"));
    assert!(k.fails("logs talk -p").contains("previous terminated container \"main\" in pod \"talk\" not found"));
    assert!(k.ok("logs deployment/web").is_empty());

    // The log of the run before a restart.
    let again = pod("again", "", "echo run; exit 3").replace("restartPolicy: Never", "restartPolicy: Always");
    k.feed("apply -f -", &again);
    until("it was started twice", Duration::from_secs(40), || {
        let pod = up.api().pod("again")?;
        (pod["status"]["containerStatuses"][0]["restartCount"].as_i64()? > 0).then_some(())
    });
    assert_eq!(k.ok("logs again -p"), "run\n");
    up.end();
}

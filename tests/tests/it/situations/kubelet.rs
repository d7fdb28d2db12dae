//! 04, 05, 06, 27: what a kubelet shows, and refuses.

use super::{SOON, case, until_phase, waiting};
use crate::support::{Kubectl, On, Up, until};

#[test]
fn files_follow_and_refusals_say_why() {
    let Some(kubectl) = Kubectl::find() else { return };
    let up = Up::start(&["--controllers", "none"]);
    let k = kubectl.on(&up);
    k.ok(&format!("apply -f {}", case("04-configmap-update.yaml")));
    k.ok(&format!("apply -f {}", case("05-subpathexpr.yaml")));
    k.ok(&format!("apply -f {}", case("06-downward.yaml")));
    k.ok(&format!("apply -f {}", case("27-rejected.yaml")));
    unexpanded(&k);
    downward(&k);
    rejected(&k);
    followed(&k);
    up.end();
}

fn followed(k: &On) {
    let mut log = k.follow("logs -f live");
    log.line("what it was", SOON, |l| l == "red colour,gone, old stage=\"one\"");
    k.ok("patch configmap live --type=merge -p {\"data\":{\"colour\":\"blue\",\"gone\":null,\"new\":\"x\"}}");
    k.ok("patch secret live --type=merge -p {\"stringData\":{\"word\":\"fresh\"}}");
    k.ok("label pod live stage=two --overwrite");
    log.line("what it is", SOON, |l| l == "blue colour,new, fresh stage=\"two\"");
}

fn unexpanded(k: &On) {
    let pod = until("the error of the container's configuration", SOON, || {
        k.up.api().pod("subexpr").filter(|p| waiting(p).starts_with("CreateContainerConfigError"))
    });
    assert!(waiting(&pod).contains("missing value for NOT_DEFINED"), "{}", waiting(&pod));
    assert!(k.ok("get pod subexpr").contains("CreateContainerConfigError"));
    k.ok("delete pod subexpr");
}

fn downward(k: &On) {
    until_phase(k, "downward", "Succeeded");
    let log = k.ok("logs downward");
    for line in [
        "a=\"tab\\there\"",
        "b=\"bell\\a esc\\x1b del\\x7f\"",
        "c=\"zero\\u200bwidth\"",
        "d=\"grüße 日本\"",
        "e=\"quote\\\" back\\\\slash\"",
        "500",
        "15000000",
        "1 96",
    ] {
        assert!(log.lines().any(|l| l == line), "{line:?} is missing in\n{log}");
    }
}

fn rejected(k: &On) {
    for (name, reason) in [("rej-cpu", "OutOfcpu"), ("rej-sel", "NodeAffinity"), ("rej-gpu", "UnexpectedAdmissionError")] {
        let pod = until_phase(k, name, "Failed");
        assert_eq!(pod["status"]["reason"], reason, "{name}");
        let containers = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        assert!(containers.iter().all(|c| c["state"]["waiting"].is_null()), "{containers:?}");
        assert!(k.ok(&format!("get pod {name}")).contains(reason), "{name}");
        let said = k.fails(&format!("logs {name}"));
        assert!(said.contains(reason) || said.contains(name), "{said}");
    }
}

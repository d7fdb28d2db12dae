//! Changing: create, apply, patch, label, scale, delete. Typed commands send protobuf bodies.

use super::Kubectl;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: a, image: nginx, ports: [{containerPort: 80}]}
      - {name: b, image: redis, env: [{name: X, value: '1'}]}
";

#[tokio::test]
async fn apply_makes_changes_and_refuses() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let kubectl = &kubectl;
    let apply = |text: String| async move { kubectl.args(&["apply", "-f", "-"], &text).await };
    assert_eq!(apply(DEPLOYMENT.to_owned()).await.out, "deployment.apps/web created\n");
    assert_eq!(apply(DEPLOYMENT.to_owned()).await.out, "deployment.apps/web unchanged\n");
    // A container leaves, another changes: a three-way strategic merge.
    let changed = DEPLOYMENT.replace("nginx,", "nginx:2,").lines().filter(|l| !l.contains("name: b")).collect::<Vec<_>>().join("\n");
    assert_eq!(apply(changed).await.out, "deployment.apps/web configured\n");
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.spec.template.spec.containers[*].image}").await, "nginx:2");
    // Somebody else's field stays.
    kubectl.ok("annotate deploy web team=a").await;
    assert_eq!(apply(DEPLOYMENT.to_owned()).await.out, "deployment.apps/web configured\n");
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.metadata.annotations.team}").await, "a");
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.spec.template.spec.containers[*].name}").await, "a b");

    let unknown = apply(DEPLOYMENT.replace("image: nginx", "imagee: nginx")).await;
    assert!(!unknown.ok && unknown.err.contains("unknown field \"spec.template.spec.containers[0].imagee\""), "{unknown:?}");
    let wrong = apply(DEPLOYMENT.replace("replicas: 2", "replicas: two")).await;
    assert!(!wrong.ok && wrong.err.contains("replicas"), "{wrong:?}");
    let invalid = apply(DEPLOYMENT.replace("matchLabels: {app: web}", "matchLabels: {app: other}")).await;
    assert!(!invalid.ok && invalid.err.contains("field is immutable") || invalid.err.contains("does not match"), "{invalid:?}");
    assert_eq!(kubectl.args(&["diff", "-f", "-"], DEPLOYMENT).await.out, "");
    assert_eq!(
        kubectl.args(&["apply", "--dry-run=server", "-f", "-"], &DEPLOYMENT.replace("web", "dry")).await.out,
        "deployment.apps/dry created (server dry run)\n"
    );
    assert!(kubectl.fails("get deploy dry").await.contains("not found"));
}

#[tokio::test]
async fn typed_commands_send_protobuf() {
    let Some(kubectl) = Kubectl::start().await else { return };
    for (line, said) in [
        ("create namespace team", "namespace/team created\n"),
        ("create configmap c --from-literal=k=v -n team", "configmap/c created\n"),
        ("create secret generic s --from-literal=p=geheim -n team", "secret/s created\n"),
        ("create serviceaccount robot -n team", "serviceaccount/robot created\n"),
        ("create deployment d --image=nginx --replicas=3 --port=80 -n team", "deployment.apps/d created\n"),
        ("create role r --verb=get,list --resource=pods,deployments.apps -n team", "role.rbac.authorization.k8s.io/r created\n"),
        ("create clusterrole cr --verb=get --non-resource-url=/metrics", "clusterrole.rbac.authorization.k8s.io/cr created\n"),
        ("create rolebinding rb --role=r --serviceaccount=team:robot -n team", "rolebinding.rbac.authorization.k8s.io/rb created\n"),
        ("create clusterrolebinding crb --clusterrole=cr --user=jane", "clusterrolebinding.rbac.authorization.k8s.io/crb created\n"),
        ("run p --image=busybox -n team --env=A=1 --labels=x=y", "pod/p created\n"),
    ] {
        assert_eq!(kubectl.ok(line).await, said);
    }
    assert_eq!(kubectl.ok("get cm c -n team -o jsonpath={.data.k}").await, "v");
    assert_eq!(kubectl.ok("get secret s -n team -o jsonpath={.data.p}").await, "Z2VoZWlt");
    assert_eq!(
        kubectl.ok("get deploy d -n team -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].ports[0].containerPort}").await,
        "3/80"
    );
    assert_eq!(kubectl.ok("get role r -n team -o jsonpath={.rules[1].apiGroups[0]}/{.rules[1].resources[0]}").await, "apps/deployments");
    assert_eq!(kubectl.ok("get pod p -n team -o jsonpath={.spec.containers[0].env[0].value}{.metadata.labels.x}").await, "1y");
    assert!(kubectl.fails("create configmap c -n team").await.contains("configmaps \"c\" already exists"));
    assert!(kubectl.fails("create configmap x -n nowhere").await.contains("namespaces \"nowhere\" not found"));
}

#[tokio::test]
async fn patches_labels_and_scale() {
    let Some(kubectl) = Kubectl::start().await else { return };
    assert!(kubectl.feed("create -f -", DEPLOYMENT).await.ok);
    let image = "get deploy web -o jsonpath={.spec.template.spec.containers[*].image}";
    kubectl
        .args(&["patch", "deploy", "web", "-p", r#"{"spec":{"template":{"spec":{"containers":[{"name":"b","image":"redis:7"}]}}}}"#], "")
        .await;
    assert_eq!(kubectl.ok(image).await, "nginx redis:7");
    let json = r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:9"}]"#;
    let said = kubectl.args(&["patch", "deploy", "web", "--type=json", "-p", json], "").await;
    assert_eq!(said.out, "deployment.apps/web patched\n", "{said:?}");
    assert_eq!(kubectl.ok(image).await, "nginx:9 redis:7");
    kubectl.args(&["patch", "deploy", "web", "--type=merge", "-p", r#"{"metadata":{"labels":{"app":null,"x":"1"}}}"#], "").await;
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.metadata.labels}").await, r#"{"x":"1"}"#);
    assert_eq!(kubectl.ok("patch deploy web --type=merge -p {}").await, "deployment.apps/web patched (no change)\n");

    assert_eq!(kubectl.ok("label deploy web x=2 --overwrite").await, "deployment.apps/web labeled\n");
    assert!(kubectl.fails("label deploy web x=3").await.contains("already has a value"));
    assert_eq!(kubectl.ok("annotate deploy web a=b").await, "deployment.apps/web annotated\n");
    assert_eq!(kubectl.ok("scale deploy web --replicas=5").await, "deployment.apps/web scaled\n");
    assert_eq!(kubectl.ok("get deploy web -o jsonpath={.spec.replicas}").await, "5");
    assert!(kubectl.fails("scale deploy web --replicas=1 --current-replicas=3").await.contains("Expected replicas to be 3, was 5"));
    assert_eq!(kubectl.ok("set image deploy/web a=nginx:10").await, "deployment.apps/web image updated\n");
    assert_eq!(kubectl.ok("get deploy web --subresource=status -o name").await, "deployment.apps/web\n");
    let status = r#"{"status":{"replicas":5,"readyReplicas":4,"updatedReplicas":5,"availableReplicas":4}}"#;
    kubectl.args(&["patch", "deploy", "web", "--subresource=status", "--type=merge", "-p", status], "").await;
    assert_eq!(super::table(&kubectl.ok("get deploy web").await)[1][..4], ["web", "4/5", "5", "4"]);
}

#[tokio::test]
async fn deleting_and_waiting() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.ok("create configmap a").await;
    assert_eq!(kubectl.ok("delete configmap a --wait").await, "configmap \"a\" deleted\n");
    assert!(kubectl.fails("delete configmap a").await.contains("configmaps \"a\" not found"));
    assert_eq!(kubectl.ok("delete configmap a --ignore-not-found").await, "");
    kubectl.ok("run p --image=x").await;
    kubectl.ok("delete pod p --now").await;
    for name in ["b", "c"] {
        kubectl.ok(&format!("create configmap {name}")).await;
        kubectl.ok(&format!("label configmap {name} set=1")).await;
    }
    assert_eq!(kubectl.ok("delete configmap -l set=1").await, "configmap \"b\" deleted\nconfigmap \"c\" deleted\n");

    // A finalizer holds the object; the wait ends when somebody takes it away.
    kubectl.ok("create configmap held").await;
    kubectl.args(&["patch", "configmap", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":["example.com/x"]}}"#], "").await;
    kubectl.ok("delete configmap held --wait=false").await;
    assert!(!kubectl.ok("get configmap held -o jsonpath={.metadata.deletionTimestamp}").await.is_empty());
    let wait = kubectl.ok("wait --for=delete configmap/held --timeout=20s");
    let args = ["patch", "configmap", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#];
    let release = kubectl.args(&args, "");
    let (_, released) = tokio::join!(wait, release);
    assert!(released.ok, "{released:?}");

    assert!(kubectl.feed("create -f -", DEPLOYMENT).await.ok);
    let wait = kubectl.ok("wait --for=condition=Available deploy/web --timeout=20s");
    let status = r#"{"status":{"conditions":[{"type":"Available","status":"True"}]}}"#;
    let args = ["patch", "deploy", "web", "--subresource=status", "-p", status];
    let make = kubectl.args(&args, "");
    let (said, made) = tokio::join!(wait, make);
    assert!(made.ok, "{made:?}");
    assert_eq!(said, "deployment.apps/web condition met\n");
    assert_eq!(kubectl.ok("wait --for=jsonpath={.spec.replicas}=2 deploy/web --timeout=5s").await, "deployment.apps/web condition met\n");
    assert!(kubectl.fails("wait --for=condition=Nothing deploy/web --timeout=1s").await.contains("timed out"));
    // Nobody collects here: what counts is what the command asks for.
    assert_eq!(kubectl.ok("delete deploy web --cascade=orphan --wait=false").await, "deployment.apps \"web\" deleted\n");
}

#[tokio::test]
async fn nodes_are_cordoned_and_replaced() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {node-role.kubernetes.io/worker: ''}}\n";
    assert!(kubectl.feed("create -f -", node).await.ok);
    assert_eq!(kubectl.ok("cordon n1").await, "node/n1 cordoned\n");
    assert_eq!(super::table(&kubectl.ok("get nodes").await)[1][..3], ["n1", "Unknown,SchedulingDisabled", "worker"]);
    assert_eq!(kubectl.ok("uncordon n1").await, "node/n1 uncordoned\n");
    assert_eq!(kubectl.ok("taint node n1 a=b:NoSchedule").await, "node/n1 tainted\n");
    let text = kubectl.ok("get node n1 -o yaml").await;
    let said = kubectl.feed("replace -f -", &text.replace("node-role.kubernetes.io/worker", "node-role.kubernetes.io/gpu")).await;
    assert_eq!(said.out, "node/n1 replaced\n", "{said:?}");
    assert_eq!(super::table(&kubectl.ok("get nodes").await)[1][2], "gpu");
    let stale = kubectl.feed("replace -f -", &text).await;
    assert!(!stale.ok && stale.err.contains("the object has been modified"), "{stale:?}");
}

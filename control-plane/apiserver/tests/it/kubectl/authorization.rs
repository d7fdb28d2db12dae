//! Rights: `auth can-i`, `auth whoami`, impersonation, tokens.

use super::Kubectl;

#[tokio::test]
async fn can_i_and_who_am_i() {
    let Some(kubectl) = Kubectl::start().await else { return };
    assert_eq!(kubectl.ok("auth can-i delete nodes").await.trim(), "yes");
    let said = kubectl.run("auth can-i list pods --as jane").await;
    assert!(!said.ok && said.out == "no\n", "{said:?}");
    kubectl.ok("create rolebinding jane --clusterrole=view --user=jane").await;
    assert_eq!(kubectl.ok("auth can-i list pods --as jane").await, "yes\n");
    assert_eq!(kubectl.ok("auth can-i get pods --subresource=log --as jane").await, "yes\n");
    assert_eq!(kubectl.run("auth can-i get secrets --as jane").await.out, "no\n");
    assert_eq!(kubectl.run("auth can-i list pods -n kube-system --as jane").await.out, "no\n");
    assert_eq!(kubectl.ok("auth can-i get /version --as jane").await, "yes\n");
    let list = kubectl.ok("auth can-i --list --as jane").await;
    assert!(list.contains("pods/log") && list.contains("[/readyz]") && !list.contains("secrets"), "{list}");
    assert!(kubectl.ok("auth whoami").await.contains("kubernetes-admin"));
    let who = kubectl.ok("auth whoami --as jane --as-group dev -o json").await;
    let who: serde_json::Value = serde_json::from_str(&who).unwrap();
    assert_eq!(who["status"]["userInfo"]["groups"], serde_json::json!(["dev", "system:authenticated"]));

    assert_eq!(
        kubectl.fails("get secrets --as jane").await,
        "Error from server (Forbidden): secrets is forbidden: User \"jane\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"\n"
    );
    assert!(kubectl.fails("delete pod x --as jane").await.contains("cannot delete resource \"pods\""));
    assert!(kubectl.ok("get pods --as jane").await.is_empty());
}

#[tokio::test]
async fn tokens_of_accounts() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.ok("create serviceaccount robot").await;
    let token = kubectl.ok("create token robot --duration=20m").await;
    let token = token.trim();
    assert_eq!(token.split('.').count(), 3);
    // No certificate and no key: the token alone counts.
    let folder = kubectl.plane.folder.path();
    let config = dormouse_apiserver::serve::Kubeconfig {
        name: "d",
        server: &kubectl.plane.url(""),
        ca_pem: &kubectl.plane.ca_pem,
        namespace: "default",
        user: "robot",
        credential: dormouse_apiserver::serve::Credential::Token(token),
    };
    config.write(&folder.join("robot")).unwrap();
    let path = folder.join("robot");
    let path = path.to_str().unwrap();
    let who = kubectl.ok(&format!("auth whoami --kubeconfig {path} -o jsonpath={{.status.userInfo.username}}")).await;
    assert_eq!(who, "system:serviceaccount:default:robot");
    assert!(
        kubectl.fails(&format!("get pods --kubeconfig {path}")).await.contains("User \"system:serviceaccount:default:robot\" cannot list")
    );
    kubectl.ok("create rolebinding robot --clusterrole=edit --serviceaccount=default:robot").await;
    kubectl.ok(&format!("run p --image=x --kubeconfig {path}")).await;
    let missing = kubectl.fails("create token robot --bound-object-kind=Pod --bound-object-name=nothing").await;
    assert!(missing.contains("pods \"nothing\" not found"), "{missing}");
    assert!(kubectl.fails("create token robot --duration=1m").await.contains("may not specify a duration less than 10 minutes"));
    assert!(kubectl.fails("create token nobody").await.contains("serviceaccounts \"nobody\" not found"));
}

#[tokio::test]
async fn roles_of_custom_resources_join_the_default_ones() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.ok("create rolebinding jane --clusterrole=view --user=jane").await;
    assert_eq!(kubectl.run("auth can-i list leases.coordination.k8s.io --as jane").await.out, "no\n");
    let role = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: leases-view, labels: {rbac.authorization.k8s.io/aggregate-to-view: 'true'}}
rules: [{apiGroups: [coordination.k8s.io], resources: [leases, others], verbs: [get, list, watch]}]
";
    assert!(kubectl.feed("apply -f -", role).await.ok);
    assert_eq!(kubectl.ok("auth can-i list leases.coordination.k8s.io --as jane").await, "yes\n");
    // Who reads the role sees it, and so does who holds a wider one.
    for name in ["view", "edit", "admin"] {
        assert!(kubectl.ok(&format!("get clusterrole {name} -o yaml")).await.contains("- others"), "{name}");
    }
    kubectl.ok("delete clusterrole leases-view").await;
    assert_eq!(kubectl.run("auth can-i list leases.coordination.k8s.io --as jane").await.out, "no\n");
    assert!(!kubectl.ok("get clusterrole admin -o yaml").await.contains("- others"));
    let wrong = kubectl.feed("apply -f -", &role.replace("verbs: [get, list, watch]", "verbs: []")).await;
    assert!(!wrong.ok && wrong.err.contains("rules[0].verbs: Required value: verbs must contain at least one value"), "{wrong:?}");
}

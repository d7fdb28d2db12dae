//! The listener: credentials, health, both HTTP versions, limits, an orderly end.

use std::time::Duration;

use dormouse_apiserver::User;
use dormouse_apiserver::serve::Limits;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::plane::Plane;

/// One request inside the process, as an administrator.
async fn admin(plane: &Plane, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.body(dormouse_apiserver::Body::from(body.to_string())).unwrap();
    let response = plane.server.handle(request, User::admin()).await;
    let status = response.status();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn token(plane: &Plane, namespace: &str, account: &str) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let (status, answer) = admin(plane, "POST", &path, body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nobody_may_see_health_and_version_only() {
    let plane = Plane::start().await;
    let client = plane.anonymous();
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(client.get(plane.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(
        client.get(plane.url("/readyz?verbose")).send().await.unwrap().text().await.unwrap(),
        "[+]ping ok\n[+]log ok\nreadyz check passed\n"
    );
    let refused = client.get(plane.url("/api/v1/namespaces/default/pods")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let status: Value = refused.json().await.unwrap();
    assert_eq!(
        status["message"],
        "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
    );
    assert_eq!(status["details"], json!({"kind": "pods"}));
    let paths: Value = client.get(plane.url("/apis")).send().await.unwrap().json().await.unwrap();
    assert_eq!(paths["message"], "forbidden: User \"system:anonymous\" cannot get path \"/apis\"");
}

#[tokio::test]
async fn tokens_are_good_until_their_objects_go() {
    let plane = Plane::start().await;
    let client = plane.anonymous();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
    assert_eq!(admin(&plane, "POST", "/api/v1/namespaces/default/serviceaccounts", account).await.0, 201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "robot"},
        "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    let token = token(&plane, "default", "robot").await;
    let pods = plane.url("/api/v1/namespaces/default/pods");
    let list = || client.get(&pods).bearer_auth(&token).send();
    assert_eq!(list().await.unwrap().status(), 403);
    assert_eq!(admin(&plane, "POST", bindings, binding).await.0, 201);
    assert_eq!(list().await.unwrap().status(), 200);
    assert_eq!(client.get(plane.url("/api/v1/namespaces/kube-system/pods")).bearer_auth(&token).send().await.unwrap().status(), 403);
    // A token that is none is refused, where no token would only be anonymous.
    let garbage = client.get(plane.url("/version")).bearer_auth("garbage").send().await.unwrap();
    assert_eq!(garbage.status(), 401);
    assert_eq!(garbage.json::<Value>().await.unwrap()["message"], "Unauthorized");

    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (_, answer) = admin(&plane, "POST", reviews, review.clone()).await;
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:robot");
    assert!(answer["status"]["user"]["groups"].as_array().unwrap().contains(&json!("system:serviceaccounts:default")));

    assert_eq!(admin(&plane, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", json!({})).await.0, 200);
    assert_eq!(list().await.unwrap().status(), 401);
    let (_, answer) = admin(&plane, "POST", reviews, review).await;
    assert_eq!(answer["status"]["authenticated"], Value::Null, "{answer}");
    assert_eq!(answer["status"]["error"], "[invalid bearer token, serviceaccount \"robot\" not found]");
}

#[tokio::test]
async fn a_token_bound_to_a_pod_names_it_and_dies_with_it() {
    let plane = Plane::start().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (status, pod) = admin(&plane, "POST", "/api/v1/namespaces/default/pods", pod).await;
    assert_eq!(status, 201, "{pod}");
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let ask = |spec: Value| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let bound = |uid: &Value| json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid});
    let (status, answer) = admin(&plane, "POST", path, ask(json!({"boundObjectRef": bound(&json!("other"))}))).await;
    assert_eq!(status, 409, "{answer}");
    let (status, answer) = admin(&plane, "POST", path, ask(json!({"expirationSeconds": 10}))).await;
    assert_eq!(status, 422, "{answer}");
    let (status, answer) = admin(
        &plane,
        "POST",
        path,
        ask(json!({"boundObjectRef": bound(&pod["metadata"]["uid"]), "audiences": ["vault"], "expirationSeconds": 600})),
    )
    .await;
    assert_eq!(status, 201, "{answer}");
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    // Not for this server: an audience of its own.
    let client = plane.anonymous();
    assert_eq!(client.get(plane.url("/version")).bearer_auth(&token).send().await.unwrap().status(), 401);
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": ["vault", "x"]}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (_, answer) = admin(&plane, "POST", reviews, review.clone()).await;
    assert_eq!(answer["status"]["audiences"], json!(["vault"]), "{answer}");
    assert_eq!(answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(admin(&plane, "DELETE", "/api/v1/namespaces/default/pods/p", json!({"gracePeriodSeconds": 0})).await.0, 200);
    let (_, answer) = admin(&plane, "POST", reviews, review).await;
    assert_eq!(answer["status"]["error"], "[invalid bearer token, pod \"p\" not found]");
}

#[tokio::test]
async fn impersonation_needs_the_right() {
    let plane = Plane::start().await;
    let client = plane.anonymous();
    let token = token(&plane, "default", "default").await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let ask = |user: &'static str| {
        let request = client.post(plane.url("/apis/authentication.k8s.io/v1/selfsubjectreviews"));
        request.bearer_auth(&token).header("impersonate-user", user).header("impersonate-group", "dev").json(&review).send()
    };
    let refused = ask("jane").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(
        refused.json::<Value>().await.unwrap()["message"],
        "users \"jane\" is forbidden: User \"system:serviceaccount:default:default\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "imp"}, "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users", "groups"], "resourceNames": ["jane", "dev"]}]});
    assert_eq!(admin(&plane, "POST", &format!("{rbac}/clusterroles"), role).await.0, 201);
    let binding = json!({"metadata": {"name": "imp"}, "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "roleRef": {"kind": "ClusterRole", "name": "imp"}, "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    assert_eq!(admin(&plane, "POST", &format!("{rbac}/clusterrolebindings"), binding).await.0, 201);
    let answer: Value = ask("jane").await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"]["userInfo"], json!({"username": "jane", "groups": ["dev", "system:authenticated"]}));
    assert_eq!(ask("john").await.unwrap().status(), 403);
}

#[tokio::test]
async fn an_impersonation_that_is_no_ascii_counts_all_the_same() {
    let plane = Plane::start().await;
    let client = plane.anonymous();
    let token = token(&plane, "default", "default").await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let ask = |headers: &[(&'static str, &[u8])]| {
        let mut request = client.post(plane.url("/apis/authentication.k8s.io/v1/selfsubjectreviews")).bearer_auth(&token);
        for (name, value) in headers {
            request = request.header(*name, http::HeaderValue::from_bytes(value).unwrap());
        }
        request.json(&review).send()
    };
    let refused = ask(&[("impersonate-user", "j\u{fc}rgen".as_bytes())]).await.unwrap();
    assert_eq!(refused.status(), 403);
    let message = refused.json::<Value>().await.unwrap()["message"].clone();
    assert!(message.as_str().unwrap().starts_with("users \"j\u{fc}rgen\" is forbidden"), "{message}");
    // None of these may run as the account itself.
    assert_eq!(ask(&[("impersonate-user", b"\xff")]).await.unwrap().status(), 403);
    for lone in ["impersonate-group", "impersonate-uid", "impersonate-extra-x"] {
        assert_eq!(ask(&[(lone, b"\xff")]).await.unwrap().status(), 500, "{lone} without a user");
    }
    assert_eq!(ask(&[]).await.unwrap().status(), 201);
}

#[tokio::test]
async fn discovery_knows_what_the_client_knows() {
    let plane = Plane::start().await;
    let token = token(&plane, "default", "default").await;
    let client = plane.anonymous();
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let ask = || client.get(plane.url("/apis")).bearer_auth(&token).header("accept", accept);
    let first = ask().send().await.unwrap();
    assert_eq!(first.headers()["content-type"], "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let etag = first.headers()["etag"].clone();
    assert!(first.json::<Value>().await.unwrap()["items"].as_array().unwrap().iter().any(|g| g["metadata"]["name"] == "apps"));
    assert_eq!(ask().header("if-none-match", etag).send().await.unwrap().status(), 304);
    let index: Value = client.get(plane.url("/openapi/v3")).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let path = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap();
    let document: Value = client.get(plane.url(path)).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert!(document["components"]["schemas"]["io.k8s.api.core.v1.Pod"].is_object());
    let v2 = client.get(plane.url("/openapi/v2")).bearer_auth(&token);
    let v2 = v2.header("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf").send().await.unwrap();
    assert_eq!(v2.headers()["content-type"], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(v2.bytes().await.unwrap().windows(23).any(|w| w == b"io.k8s.api.core.v1.Pod\x12".as_slice()));
}

#[tokio::test]
async fn a_silent_client_is_dropped_and_others_are_served() {
    let mut limits = Limits::default();
    (limits.http.connections, limits.http.handshake_time) = (2, Duration::from_millis(100));
    let plane = Plane::with(limits).await;
    let mut silent = tokio::net::TcpStream::connect(plane.address).await.unwrap();
    let mut garbage = tokio::net::TcpStream::connect(plane.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    // Both places were taken; they are free again when the handshakes have failed.
    assert_eq!(plane.anonymous().get(plane.url("/healthz")).send().await.unwrap().status(), 200);
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut rest)).await.unwrap().ok();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let plane = Plane::with(Limits { request_time: Duration::from_millis(200), ..Limits::default() }).await;
    let token = token(&plane, "default", "default").await;
    let body = reqwest::Body::wrap_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = plane.anonymous().post(plane.url("/apis/authentication.k8s.io/v1/selfsubjectreviews")).bearer_auth(&token);
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.json::<Value>().await.unwrap()["reason"], "Timeout");
}

#[tokio::test]
async fn the_end_does_not_wait_for_watches() {
    let plane = Plane::start().await;
    let token = token(&plane, "default", "default").await;
    let binding = json!({"metadata": {"name": "v"}, "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    assert_eq!(admin(&plane, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.0, 201);
    let watch = plane.anonymous().get(plane.url("/api/v1/configmaps?watch=1")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(watch.status(), 200);
    tokio::time::timeout(Duration::from_secs(10), plane.stop()).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn reviews_answer_for_others() {
    let plane = Plane::start().await;
    let group = "/apis/authorization.k8s.io/v1";
    let ask = |kind: &'static str, spec: Value| {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let path = if kind.starts_with("Local") {
            "/namespaces/default/localsubjectaccessreviews".to_owned()
        } else {
            format!("/{}s", kind.to_lowercase())
        };
        let plane = &plane;
        async move { admin(plane, "POST", &format!("{group}{path}"), body).await }
    };
    let pods = json!({"verb": "list", "resource": "pods", "namespace": "default"});
    let (status, answer) =
        ask("SubjectAccessReview", json!({"user": "root", "groups": ["system:masters"], "resourceAttributes": pods})).await;
    assert_eq!((status.as_u16(), &answer["status"]["allowed"]), (201, &json!(true)), "{answer}");
    let (_, answer) = ask("LocalSubjectAccessReview", json!({"user": "jane", "resourceAttributes": pods})).await;
    assert_eq!(answer["status"], json!({"allowed": false}));
    let path = json!({"verb": "get", "path": "/version"});
    let (_, answer) =
        ask("SubjectAccessReview", json!({"user": "jane", "groups": ["system:authenticated"], "nonResourceAttributes": path})).await;
    assert_eq!(
        answer["status"],
        json!({"allowed": true, "reason": "RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole \"system:discovery\" to Group \"system:authenticated\""})
    );
    let (status, answer) = ask("SubjectAccessReview", json!({"resourceAttributes": pods, "nonResourceAttributes": path})).await;
    assert_eq!(status, 422, "{answer}");
    assert_eq!(answer["details"]["causes"].as_array().unwrap().len(), 2);
    let (status, _) = ask(
        "LocalSubjectAccessReview",
        json!({"user": "j", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}),
    )
    .await;
    assert_eq!(status, 422);
    let (_, answer) = ask("SelfSubjectRulesReview", json!({"namespace": "default"})).await;
    assert!(answer["status"]["resourceRules"].as_array().unwrap().iter().any(|r| r["resources"] == json!(["*"])), "{answer}");
    assert_eq!(ask("SelfSubjectRulesReview", json!({})).await.0, 400);
}

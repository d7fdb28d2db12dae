//! Lives of real Pods. (`$$` in a command is `$` for Kubernetes, so a shell's own id is written `$$$$`.)

use std::time::{Duration, Instant};

use dormouse_kubelet::machine::backoff::Policy;
use dormouse_kubelet::{ApiAddress, Gpus, Kubelet, Options, SandboxMode};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::SHIM;
use super::plane::{NODE, Plane, condition, sh, sh_with};
use super::shim::{alive, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_registered_with_its_gpus_and_lease() {
    let plane = Plane::with(|o| o.gpus = Gpus { count: 2, first: 4, ..Gpus::default() }).await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(plane.client.clone());
    let node = serde_json::to_value(nodes.get(NODE).await.unwrap()).unwrap();
    assert_eq!(node["status"]["capacity"]["nvidia.com/gpu"], "2");
    assert_eq!(node["metadata"]["annotations"]["dormouse.dev/gpus"], "{\"GPU-4\":0,\"GPU-5\":1}");
    assert_eq!(node["metadata"]["labels"]["nvidia.com/gpu.memory"], "81920");
    assert_eq!(condition(&node, "Ready"), "True");
    assert_eq!(node["status"]["addresses"][0]["address"], plane.handle.node_ip().to_string());
    let client = dormouse_devices::Client::connect(&plane.socket(), dormouse_devices::Identity::default()).await.unwrap();
    assert_eq!(client.snapshot().await.unwrap().gpus.len(), 2);
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(plane.client.clone(), "kube-node-lease");
    let found = kube::runtime::wait::await_condition(leases, NODE, |l: Option<&_>| l.is_some());
    tokio::time::timeout(Duration::from_secs(10), found).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_capacity_stays() {
    let plane = Plane::start().await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(plane.client.clone());
    let patch = json!({"status": {"capacity": {"nvidia.com/gpu": "2"}, "allocatable": {"nvidia.com/gpu": "2"}}});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    // Taking the node over again, as a restarted kubelet does, must not take the key away.
    let patch = json!({"status": {"capacity": {"cpu": "1"}}});
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    plane.create("p", json!({"containers": [sh_with("sleep 60", json!({"resources": {"limits": {"nvidia.com/gpu": "1"}}}))]})).await;
    let pod = plane.until_ready("p").await;
    let log = plane.log(&pod, "c", |_| ()).await.unwrap();
    assert_eq!(log, "", "without a device plugin nothing is set and nothing refused");
    let node = nodes.get(NODE).await.unwrap();
    assert_eq!(node.status.unwrap().capacity.unwrap()["nvidia.com/gpu"].0, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_runs_with_its_environment_and_goes_when_deleted() {
    let plane = Plane::with(|o| o.gpus.count = 2).await;
    let script = "echo ip=$DORMOUSE_POD_IP uid=$DORMOUSE_POD_UID gpus=$NVIDIA_VISIBLE_DEVICES host=$HOSTNAME x=$X engine=$DORMOUSE_ENGINE \
                  grace=$DORMOUSE_TERMINATION_GRACE_SECONDS; \
                  exec sleep 60";
    let extra = json!({"env": [{"name": "X", "value": "$(N)-$(M)"}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                               {"name": "X", "value": "[$(N)]"}],
                       "resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "1"}}});
    plane.create("p", json!({"containers": [sh_with(script, extra)]})).await;
    let pod = plane.until_ready("p").await;
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let want = format!("ip={ip} uid={uid} gpus=GPU-0 host=p x=[{ip}] engine=sim grace=5\n");
    eventually_log(&plane, &pod, "c", &want).await;
    let status = &pod["status"];
    let container = &status["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("dormouse://") && container["imageID"].as_str().unwrap().len() == 75);
    assert_eq!((&status["qosClass"], &status["hostIP"]), (&json!("Burstable"), &json!(plane.handle.node_ip().to_string())));
    for name in ["PodScheduled", "Initialized", "ContainersReady", "PodReadyToStartContainers"] {
        assert_eq!(condition(&pod, name), "True", "{name}");
    }
    let timeline: Value = serde_json::from_str(pod["metadata"]["annotations"]["dormouse.dev/timeline"].as_str().unwrap()).unwrap();
    let order: Vec<&str> = ["scheduled", "started", "ready"].iter().map(|k| timeline[k].as_str().unwrap()).collect();
    assert!(order.is_sorted() && timeline["created"].is_string(), "{timeline}");
    for reason in ["Pulled", "Created", "Started"] {
        plane.until_event("p", reason).await;
    }
    let begun = Instant::now();
    plane.delete("p").await;
    plane.until_gone("p").await;
    assert!(begun.elapsed() < Duration::from_secs(4), "sleep dies of SIGTERM, nobody waits for the grace");
    plane.until_event("p", "Killing").await;
    let folder = plane.dir.path().join(NODE).join("pods").join(uid);
    eventually("the Pod's folder goes", || !folder.exists()).await;
}

/// Output takes a moment from the pipe to the file.
async fn eventually_log(plane: &Plane, pod: &Value, container: &str, want: &str) {
    let mut got = String::new();
    for pause in [0, 5, 20, 50, 100, 200, 400, 800, 1600] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        got = plane.log(pod, container, |_| ()).await.unwrap();
        if got == want {
            return;
        }
    }
    assert_eq!(got, want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completed_failed_and_their_last_words() {
    let plane = Plane::start().await;
    plane.create("good", json!({"restartPolicy": "Never", "containers": [sh("echo bye >/dev/termination-log; echo out")]})).await;
    let fall_back = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    plane.create("bad", json!({"restartPolicy": "Never", "containers": [sh_with("echo it broke; exit 3", fall_back)]})).await;
    let good = plane.until_phase("good", "Succeeded").await;
    let ended = &good["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"], &ended["message"]), (&json!(0), &json!("Completed"), &json!("bye\n")));
    assert_eq!(plane.log(&good, "c", |_| ()).await.unwrap(), "out\n", "the log of an ended Pod stays");
    let bad = plane.until_phase("bad", "Failed").await;
    let ended = &bad["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"], &ended["message"]), (&json!(3), &json!("Error"), &json!("it broke")));
    plane.delete("good").await;
    plane.until_gone("good").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_loop_backs_off_and_previous_logs_stay() {
    let base = Duration::from_millis(300);
    let plane = Plane::with(|o| o.restart = Policy { base, ..Policy::default() }).await;
    plane.create("p", json!({"containers": [sh("echo run $$$$; exit 1")]})).await;
    let pod = plane
        .until("p", "crash-looping", |p| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff")
        .await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
    plane.until_event("p", "BackOff").await;
    let pod = plane.until("p", "restarted thrice", |p| p["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(3)).await;
    let (now, before) = (plane.log(&pod, "c", |_| ()).await.unwrap(), plane.log(&pod, "c", |q| q.previous = true).await.unwrap());
    assert!(before.starts_with("run ") && now != before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_of_each_kind() {
    let plane = Plane::start().await;
    // A file in the container's own /tmp decides, and the test moves it from outside.
    let probe = json!({"exec": {"command": ["cat", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1});
    let pod = plane.create("exec", json!({"containers": [sh_with("exec sleep 60", json!({"readinessProbe": probe}))]})).await;
    let serve = "while true; do printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n' | nc -l -s $DORMOUSE_POD_IP -p 8080 -q 0 || sleep 0.1; done";
    let has_nc = std::process::Command::new("nc").arg("-h").output().is_ok();
    plane.until("exec", "unready first", |p| condition(p, "Ready") == "False" && p["status"]["phase"] == "Running").await;
    plane.until_event_with("exec", "Unhealthy", "Readiness probe failed: cat: /tmp/ready: No such file").await;
    let folder = plane.dir.path().join(NODE).join("pods").join(pod.metadata.uid.unwrap());
    std::fs::write(folder.join("c/c/tmp/ready"), "").unwrap();
    plane.until_ready("exec").await;
    std::fs::remove_file(folder.join("c/c/tmp/ready")).unwrap();
    plane.until("exec", "unready again", |p| condition(p, "Ready") == "False").await;

    let refused = json!({"httpGet": {"path": "/x", "port": "web"}, "periodSeconds": 1});
    let ports = json!([{"name": "web", "containerPort": 9}]);
    plane.create("http", json!({"containers": [sh_with("exec sleep 60", json!({"readinessProbe": refused, "ports": ports}))]})).await;
    let message = plane.until_event_with("http", "Unhealthy", "refused").await;
    assert!(message.starts_with("Readiness probe failed: Get \"http://127.") && message.contains(":9/x\": "), "{message}");
    if has_nc {
        let tcp = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1});
        plane.create("tcp", json!({"containers": [sh_with(serve, json!({"readinessProbe": tcp}))]})).await;
        plane.until_ready("tcp").await;
    } else {
        dormouse_runtime::output::error_line("SKIPPED: the TCP probe, for want of nc");
    }

    let liveness = json!({"exec": {"command": ["false"]}, "initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 1, "terminationGracePeriodSeconds": 1});
    let script = "trap '' TERM; while true; do sleep 0.1; done";
    plane.create("live", json!({"containers": [sh_with(script, json!({"livenessProbe": liveness}))]})).await;
    let pod = plane.until("live", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grace_hooks_and_escapees() {
    let plane = Plane::start().await;
    let hooks = json!({"lifecycle": {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started > /tmp/hook"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "cat /tmp/hook > /dev/termination-log; echo stopping >> /dev/termination-log"]}}}});
    // Ignores SIGTERM, and a child of it has left the session.
    let script = "trap '' TERM; setsid sleep 1000 & echo $!; while true; do sleep 0.1; done";
    plane.create("p", json!({"terminationGracePeriodSeconds": 1, "containers": [sh_with(script, hooks)]})).await;
    let pod = plane.until_ready("p").await;
    let mut log = String::new();
    for _ in 0..50 {
        log = plane.log(&pod, "c", |_| ()).await.unwrap();
        if !log.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let escaped: i32 = log.trim().parse().unwrap();
    assert!(alive(escaped));
    // A finalizer keeps the object so that its last status can be seen.
    let patch = json!({"metadata": {"finalizers": ["test.dormouse.dev/keep"]}});
    plane.pods().patch("p", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    plane.delete("p").await;
    let pod = plane.until_phase("p", "Failed").await;
    assert!(!alive(escaped), "what left the session ends with its container");
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["message"]), (&json!(137), &json!("started\nstopping\n")));
    let patch = json!({"metadata": {"finalizers": null}});
    plane.pods().patch("p", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    plane.until_gone("p").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_containers_sidecars_and_volumes() {
    let plane = Plane::start().await;
    let maps: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(plane.client.clone(), "default");
    plane
        .create(
            "p",
            json!({"restartPolicy": "Never",
                "volumes": [{"name": "e", "emptyDir": {}}, {"name": "m", "configMap": {"name": "cm"}},
                            {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}],
                "initContainers": [
                    {"name": "first", "image": "x", "command": ["sh", "-c", "echo one >> /work/order"], "volumeMounts": [{"name": "e", "mountPath": "/work"}]},
                    {"name": "side", "image": "x", "restartPolicy": "Always",
                     "command": ["sh", "-c", "echo two >> /work/order; trap 'exit 0' TERM; sleep 1000 & wait"],
                     "volumeMounts": [{"name": "e", "mountPath": "/work"}],
                     "startupProbe": {"exec": {"command": ["grep", "two", "/work/order"]}, "periodSeconds": 1}}],
                "containers": [sh_with("cat /work/order /conf/key /info/labels; echo; echo x > /conf/no || echo ro", json!({"volumeMounts": [
                    {"name": "e", "mountPath": "/work"}, {"name": "m", "mountPath": "/conf"}, {"name": "d", "mountPath": "/info"}]}))]}),
        )
        .await;
    let message = plane.until_event("p", "FailedMount").await;
    assert_eq!(message, "MountVolume.SetUp failed for volume \"m\" : configmap \"cm\" not found");
    let map = json!({"metadata": {"name": "cm"}, "data": {"key": "value\n"}});
    maps.create(&PostParams::default(), &serde_json::from_value(map).unwrap()).await.unwrap();
    let pod = plane.until_phase("p", "Succeeded").await;
    assert_eq!(
        plane.log(&pod, "c", |q| q.stream = Some(dormouse_kubelet::logs::Stream::Stdout)).await.unwrap(),
        "one\ntwo\nvalue\napp=\"p\"\nro\n"
    );
    let init = pod["status"]["initContainerStatuses"].as_array().unwrap();
    assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed");
    assert!(init[1]["state"]["terminated"].is_object());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_why_and_waits() {
    let plane = Plane::start().await;
    plane.create("image", json!({"containers": [{"name": "c", "image": "docker.io/library/nginx:1.27"}]})).await;
    let waiting = |p: &Value| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or("").to_owned();
    let pod = plane.until("image", "without an image", |p| waiting(p) == "ErrImagePull").await;
    let message = pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.contains("docker.io/library/nginx:1.27") && message.contains("--images"), "{message}");
    plane.until("image", "backing off", |p| waiting(p) == "ImagePullBackOff").await;

    let env = json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]});
    plane.create("config", json!({"containers": [sh_with("true", env)]})).await;
    plane.until("config", "waiting for its ConfigMap", |p| waiting(p) == "CreateContainerConfigError").await;

    plane.create("big", json!({"containers": [sh_with("true", json!({"resources": {"requests": {"cpu": "1000"}}}))]})).await;
    let pod = plane.until_phase("big", "Failed").await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    plane.create("elsewhere", json!({"nodeSelector": {"no": "such"}, "containers": [sh("true")]})).await;
    assert_eq!(plane.until_phase("elsewhere", "Failed").await["status"]["reason"], "NodeAffinity");
    for name in ["image", "config", "big", "elsewhere"] {
        plane.delete(name).await;
        plane.until_gone(name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sandbox_plain_pods_run_and_mounts_are_refused() {
    let plane = Plane::with(|o| o.sandbox = SandboxMode::Off).await;
    plane.create("plain", json!({"restartPolicy": "Never", "containers": [sh("nvidia-smi >/dev/null 2>&1; echo $PATH")]})).await;
    let pod = plane.until_phase("plain", "Succeeded").await;
    let bin = plane.dir.path().canonicalize().unwrap().join(NODE).join("bin");
    assert!(plane.log(&pod, "c", |_| ()).await.unwrap().starts_with(bin.to_str().unwrap()));
    assert!(bin.join("vllm").exists());
    let mounts = json!({"volumeMounts": [{"name": "e", "mountPath": "/data"}]});
    plane.create("mounts", json!({"volumes": [{"name": "e", "emptyDir": {}}], "containers": [sh_with("true", mounts)]})).await;
    let message = plane.until_event("mounts", "FailedMount").await;
    assert!(message.contains("/data") && message.contains("--sandbox off"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_the_kubelet_ends_processes_and_a_new_one_reports_them() {
    let plane = Plane::start().await;
    plane.create("p", json!({"containers": [sh("echo $$$$; exec sleep 1000")]})).await;
    let pod = plane.until_ready("p").await;
    let mut log = String::new();
    while log.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        log = plane.log(&pod, "c", |_| ()).await.unwrap();
    }
    let pid: i32 = log.trim().parse().unwrap();
    let Plane { client, handle, dir, number, _claim } = plane;
    handle.stop(Duration::from_secs(5)).await;
    assert!(!alive(pid));
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), "default");
    assert_eq!(pods.get("p").await.unwrap().status.unwrap().phase.as_deref(), Some("Running"), "the object stays as it was");

    // The next kubelet of this node.
    let mut options = Options::new(client.clone(), NODE, dir.path(), SHIM);
    options.plane = number;
    let handle = Kubelet::start(options).await.unwrap();
    let plane = Plane { client, handle, dir, number, _claim };
    let again = plane.until("p", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let last = &again["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("Error")));
    assert_eq!(again["status"]["podIP"], pod["status"]["podIP"], "a Pod keeps its address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_kubelet_kills_what_ran() {
    let plane = Plane::start().await;
    plane.create("p", json!({"containers": [sh("trap '' TERM; echo $$$$; while true; do sleep 0.1; done")]})).await;
    let pod = plane.until_ready("p").await;
    let mut log = String::new();
    while log.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        log = plane.log(&pod, "c", |_| ()).await.unwrap();
    }
    let pid: i32 = log.trim().parse().unwrap();
    drop(plane);
    eventually("the process ends", || !alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_account_is_where_programs_look_for_it() {
    let script = "cd /var/run/secrets/kubernetes.io/serviceaccount && cat namespace ca.crt && wc -c < token && ls -l /run/secrets >/dev/null; \
                  echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT";
    let api = Some(ApiAddress { host: "127.0.0.1".into(), port: 6443, ca_pem: "PEM\n".into() });
    let plane = Plane::with(|o| o.api = api.clone()).await;
    plane.create("p", json!({"restartPolicy": "Never", "containers": [sh(script)]})).await;
    let pod = plane.until_phase("p", "Succeeded").await;
    let log = plane.log(&pod, "c", |_| ()).await.unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines[0], lines[1].parse::<usize>().unwrap() > 100, lines[2]), ("defaultPEM", true, "127.0.0.1:6443"), "{log}");

    let plane = Plane::with(|o| (o.api, o.sandbox) = (api, SandboxMode::Off)).await;
    plane.create("p", json!({"restartPolicy": "Never", "containers": [sh("cat $KUBECONFIG")]})).await;
    let pod = plane.until_phase("p", "Succeeded").await;
    let config: Value = serde_json::from_str(&plane.log(&pod, "c", |_| ()).await.unwrap()).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:6443");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_as_user_is_honoured_as_root_and_else_said_to_be_ignored() {
    let plane = Plane::start().await;
    let spec = json!({"restartPolicy": "Never", "securityContext": {"runAsUser": 4711, "runAsGroup": 4712},
                      "containers": [sh("echo $(id -u):$(id -g); echo x > /tmp/x && cat /tmp/x")]});
    plane.create("p", spec).await;
    let pod = plane.until_phase("p", "Succeeded").await;
    let log = plane.log(&pod, "c", |_| ()).await.unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(log, "4711:4712\nx\n");
    } else {
        assert!(plane.until_event("p", "RunAsUserIgnored").await.contains("does not run as root"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shim_costs_a_restart_and_leaves_nothing() {
    let plane = Plane::start().await;
    plane.create("p", json!({"containers": [sh("setsid sleep 1000 & echo $!; exec sleep 1000")]})).await;
    let pod = plane.until_ready("p").await;
    let mut log = String::new();
    while log.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        log = plane.log(&pod, "c", |_| ()).await.unwrap();
    }
    let escaped: i32 = log.trim().parse().unwrap();
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let shims = super::crash::marked(uid, |line| line.starts_with("dormouse-shim"));
    assert!(!shims.is_empty());
    for pid in shims {
        super::crash::signal(pid, rustix::process::Signal::KILL);
    }
    plane.until("p", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] == 1 && condition(p, "Ready") == "True").await;
    eventually("the old run ends", || !alive(escaped)).await;
}

/// Prints how long a Pod takes from its creation to Ready and to its end. Run with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn measure_a_pods_start() {
    for sandbox in [SandboxMode::Auto, SandboxMode::Off] {
        let plane = Plane::with(|o| o.sandbox = sandbox).await;
        let (mut ready, mut gone) = (Vec::new(), Vec::new());
        for i in 0..50 {
            let name = format!("p{i}");
            let begun = Instant::now();
            plane.create(&name, json!({"containers": [sh("exec sleep 1000")]})).await;
            plane.until_ready(&name).await;
            ready.push(begun.elapsed());
            let begun = Instant::now();
            plane.delete(&name).await;
            plane.until_gone(&name).await;
            gone.push(begun.elapsed());
        }
        ready.sort();
        gone.sort();
        let (r, g) = ((ready[25], ready[49]), (gone[25], gone[49]));
        println!("sandbox {sandbox:?}: create to Ready {:?} (max of 50 {:?}), delete to gone {:?} (max of 50 {:?})", r.0, r.1, g.0, g.1);
    }
}

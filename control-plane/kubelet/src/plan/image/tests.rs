//! What images mean, with rows as systems of ours have them.

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Rows as they are handed down; `host`: the host's engine is meant.
fn programs(host: bool) -> Programs {
    let rows = [
        Program::new("dual-pods-controller"),
        Program { aliases: &["test-launcher"], scripts: &["launcher.py"], modules: &["launcher:*"], ..Program::new("launcher") },
        Program { scripts: &["launcher_pod_notifier.py"], ..Program::new("launcher-notifier") },
        Program { waits_for_release: true, ..Program::new("requester") },
        Program { waits_for_release: true, gpus_by_manifest: true, ..Program::new("test-requester") },
        Program { tool: true, ..Program::new("nvidia-smi") },
        Program {
            modules: &["vllm.entrypoints.openai.api_server"],
            images: &["vllm-openai*"],
            entry: &["serve"],
            engine: true,
            host_option: Some("--host"),
            ..Program::new("vllm")
        },
        Program { lacking: Some("training"), ..Program::new("trainer") },
    ];
    Programs::new(rows, host)
}

fn run_with(rules: &Rules, programs: &Programs, image: &str, command: &str, args: &str) -> Result<Resolution, Unresolved> {
    let (command, args) = (words(command), words(args));
    let find = |name: &str| match name {
        "sh" | "vllm" | "python3" => Some(format!("/usr/bin/{name}")),
        _ => name.starts_with("/opt/").then(|| name.to_owned()),
    };
    resolve(Wish { image, command: &command, args: &args }, rules, programs, &find)
}

fn argv(image: &str, command: &str, args: &str) -> (Target, String) {
    let r = run_with(&Rules::default(), &programs(false), image, command, args).unwrap();
    (r.program, r.argv.join(" "))
}

#[test]
fn rule_1_wins_over_the_containers_command() {
    let rules = Rules::parse(
        "- {match: 'docker.io/*/vllm-openai:*', command: [sh, -c], args: ['echo x'], env: {A: '1'}, workingDir: /w}\n\
         - match: 'reg/only-env:?'\n  env: {B: '2'}\n",
    )
    .unwrap();
    let r = run_with(&rules, &programs(false), "docker.io/vllm/vllm-openai:v1", "vllm serve", "--port=1").unwrap();
    assert_eq!(r.program, Target::Path("/usr/bin/sh".into()));
    assert_eq!(r.argv, ["sh", "-c", "echo x"]);
    assert_eq!(r.working_dir.as_deref(), Some("/w"));
    assert_eq!(rules.find("docker.io/vllm/vllm-openai:v1").map(|r| r.env["A"].as_str()), Some("1"));
    assert!(r.how.contains("--images"));
    let r = run_with(&rules, &programs(false), "reg/only-env:1", "sh", "-c").unwrap();
    assert_eq!(r.argv, ["sh", "-c"]);
    assert!(Rules::parse("- {match: x, cmd: [y]}").is_err());
    assert_eq!(Rules::parse("[{\"match\": \"a\"}]").unwrap().0.len(), 1);
}

#[test]
fn a_rule_that_names_a_file_means_it_and_a_prefix_goes_before_all() {
    let rules = Rules::parse("- {match: 'x/launcher:*', command: [/opt/peer/launcher.py]}\n- {match: 'x/*', prefix: [sh, -x]}\n").unwrap();
    let find = |name: &str| matches!(name, "sh" | "/opt/peer/launcher.py").then(|| format!("found {name}"));
    let resolved = |image: &str, command: &str| {
        let command = words(command);
        let r = resolve(Wish { image, command: &command, args: &words("--port=1") }, &rules, &programs(false), &find).unwrap();
        (r.program, r.argv.join(" "))
    };
    let file = Target::Path("found /opt/peer/launcher.py".into());
    assert_eq!(resolved("x/launcher:v1", "python3 launcher.py"), (file, "/opt/peer/launcher.py --port=1".into()));
    let shell = Target::Path("found sh".into());
    assert_eq!(resolved("x/other:v1", "run it"), (shell.clone(), "sh -x run it --port=1".into()));
    assert_eq!(
        resolved("x/requester:v1", ""),
        (shell, "sh -x requester --port=1".into()),
        "an image of ours has its name as a link in the PATH"
    );
    for wrong in ["- {match: a, prefix: [b], args: [c]}", "- {match: a, prefix: [b], command: [c]}", "- {match: a, bind: pod}"] {
        let why = Rules::parse(wrong).unwrap_err();
        assert!(why.starts_with("rule \"a\": "), "{why}");
    }
}

#[test]
fn rule_2_names_of_ours_by_image_and_by_command() {
    assert_eq!(argv("localhost:5000/fma/requester:latest", "", "--x"), (Target::Ours, "requester --x".into()));
    assert_eq!(argv("q.io/a/dual-pods-controller@sha256:ab", "", ""), (Target::Ours, "dual-pods-controller".into()));
    assert_eq!(argv("any", "/ko-app/test-requester --node n", ""), (Target::Ours, "test-requester --node n".into()));
    assert_eq!(argv("any", "python3 /app/launcher.py", "--port 1"), (Target::Ours, "launcher.py --port 1".into()));
    assert_eq!(argv("any", "python3 /app/launcher_pod_notifier.py", "").1, "launcher_pod_notifier.py");
    assert_eq!(argv("any", "uvicorn launcher:app --port 8001", "").1, "launcher --port 8001");
    assert_eq!(argv("any", "nvidia-smi -L", ""), (Target::Ours, "nvidia-smi -L".into()));
    assert_eq!(argv("any", "/usr/bin/python3.12 -m launcher:app", "").1, "launcher");
    assert_eq!(argv("any", "python3 -m", "").0, Target::Path("/usr/bin/python3".into()));
    // A command that is none of ours wins over an image name of ours.
    assert_eq!(argv("reg/requester:1", "sh -c true", "").0, Target::Path("/usr/bin/sh".into()));
}

#[test]
fn pause_is_a_program_of_every_plane() {
    for image in ["registry.k8s.io/pause:3.10", "pause", "localhost:5000/x/pause@sha256:ab"] {
        assert_eq!(argv(image, "", ""), (Target::Ours, "pause".into()));
    }
    assert_eq!(argv("registry.k8s.io/pause:3.10", "/pause -v", ""), (Target::Ours, "pause -v".into()));
    assert_eq!(argv("registry.k8s.io/pause:3.10", "sh -c true", "").0, Target::Path("/usr/bin/sh".into()));
    assert!(run_with(&Rules::default(), &programs(false), "any", "pause", "").is_err(), "elsewhere it is a word as any other");
}

#[test]
fn the_image_of_a_program_with_scripts_has_them_in_its_folder() {
    let of = |image: &str| scripts(&programs(false), image);
    assert_eq!(of("reg/launcher:1"), ["launcher.py", "launcher_pod_notifier.py"]);
    assert_eq!(of("test-launcher"), of("reg/launcher:1"));
    assert!(of("reg/requester:1").is_empty() && of("busybox").is_empty());
}

#[test]
fn an_engine_is_ours_or_the_hosts_by_choice() {
    let image = "docker.io/vllm/vllm-openai:v0.10.2";
    assert_eq!(argv(image, "", "--model m"), (Target::Ours, "vllm serve --model m".into()));
    assert_eq!(argv(image, "vllm serve --port=8000", ""), (Target::Ours, "vllm serve --port=8000".into()));
    let module = "python3 -m vllm.entrypoints.openai.api_server --model m";
    assert_eq!(argv(image, module, ""), (Target::Ours, "vllm serve --model m".into()));
    let host = |command: &str, args: &str| {
        let r = run_with(&Rules::default(), &programs(true), image, command, args).unwrap();
        let Target::Path(path) = r.program.clone() else { panic!("{command} is ours") };
        (path, r.argv_at("127.16.1.7".parse().ok(), &programs(true)).join(" "))
    };
    assert_eq!(host("", "--model m"), ("/usr/bin/vllm".into(), "vllm serve --model m --host 127.16.1.7".into()));
    for command in ["vllm serve m", "/opt/venv/bin/vllm serve m", "python3 /opt/venv/bin/vllm serve m", module] {
        assert_eq!(host(command, "--port 1").1, format!("{command} --port 1 --host 127.16.1.7"));
    }
    assert_eq!(host("vllm serve", "--host 0.0.0.0").1, "vllm serve --host 0.0.0.0 --host 127.16.1.7", "the last counts");
    for command in ["vllm serve --host 10.0.0.1", "vllm --version", "python3 -m http.server", "sh -c vllm"] {
        assert_eq!(host(command, "").1, command);
    }
}

#[test]
fn a_program_that_is_not_built_in_names_its_feature() {
    for (image, command) in [("reg/trainer:1", ""), ("any", "/app/trainer --x")] {
        let e = run_with(&Rules::default(), &programs(false), image, command, "").unwrap_err().to_string();
        assert!(e.contains("\"trainer\"") && e.contains("feature training") && e.contains(image), "{e}");
    }
}

#[test]
fn what_a_container_runs_is_known_by_any_word_of_its_command_or_by_its_image() {
    let container = |image: &str, command: &str| Container {
        image: Some(image.to_owned()),
        command: (!command.is_empty()).then(|| words(command)),
        ..Container::default()
    };
    let waits = |image: &str, command: &str| runs(&programs(false), &container(image, command), |p| p.waits_for_release);
    assert!(waits("reg/requester:1", "") && waits("any", "/ko-app/test-requester") && waits("any", "tini -- requester"));
    assert!(!waits("reg/requester:1", "sleep 1") && !waits("launcher", ""));
    assert!(runs(&programs(false), &container("test-requester", ""), |p| p.gpus_by_manifest));
}

#[test]
fn rule_3_host_path_or_a_message_that_helps() {
    assert_eq!(argv("busybox", "sh -c", "true"), (Target::Path("/usr/bin/sh".into()), "sh -c true".into()));
    let e = run_with(&Rules::default(), &programs(false), "docker.io/library/nginx:1.27", "", "").unwrap_err().to_string();
    assert!(e.contains("\"docker.io/library/nginx:1.27\"") && e.contains("--images") && e.contains("no command"), "{e}");
    let e = run_with(&Rules::default(), &programs(false), "x", "nosuch --flag", "").unwrap_err().to_string();
    assert!(e.contains("\"nosuch\" is not on the PATH") && e.contains("command: [\"nosuch\"]"), "{e}");
}

#[test]
fn digest_is_of_the_resolved_command() {
    let a = run_with(&Rules::default(), &programs(false), "a", "sh -c true", "").unwrap();
    let b = run_with(&Rules::default(), &programs(false), "b", "sh -c", "true").unwrap();
    let c = run_with(&Rules::default(), &programs(false), "a", "sh -c false", "").unwrap();
    assert_eq!(a.digest(), b.digest());
    assert_ne!(a.digest(), c.digest());
    assert_eq!(a.digest().len(), 64);
}

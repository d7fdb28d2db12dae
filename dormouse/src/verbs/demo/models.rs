//! The two models of the demo, and how its engine is to serve them.

use std::path::{Path, PathBuf};

use dormouse_runtime::exit::Failure;

use super::DemoArgs;
use super::manifests::{MODELS, Model, Mount};
use super::scene::step;
use crate::engine::{Engine, accelerated};

/// The models' names, and those of their `InferenceServerConfig`s.
const NAMES: [&str; 2] = ["alpha", "beta"];
/// vLLM answers `/sleep` and `/wake_up` only so.
const DEV_MODE: (&str, &str) = ("VLLM_SERVER_DEV_MODE", "1");
/// Without it vLLM on a CPU takes memory by the gigabyte for its cache.
const SMALL_CACHE: (&str, &str) = ("VLLM_CPU_KVCACHE_SPACE", "1");
/// There is nothing to ask the hub for.
const OFFLINE: (&str, &str) = ("HF_HUB_OFFLINE", "1");
const SLEEP_MODE: &str = "--enable-sleep-mode";

/// Looks whether the options fit together and there is what they ask for.
///
/// # Errors
/// Usage errors.
pub(super) fn check(args: &DemoArgs) -> Result<(), Failure> {
    if args.engine == Engine::Host {
        if which::which("vllm").is_err() {
            return Err(Failure::usage("--engine host runs the vLLM of this machine, and there is no vllm on the PATH"));
        }
    } else if !args.models.is_empty() || args.engine_options.is_some() {
        return Err(Failure::usage("--model and --engine-options are for a real vLLM: give --engine host too"));
    }
    if !matches!(args.models.len(), 0 | 2) {
        return Err(Failure::usage("the demo changes between two models: give --model twice, or not at all"));
    }
    Ok(())
}

/// The two models that a demo with these options serves; small ones are made in `folder`.
///
/// # Errors
/// When one cannot be made.
pub(super) fn choose(args: &DemoArgs, folder: &Path, ports: [u16; 2]) -> anyhow::Result<[Model; 2]> {
    let [alpha, beta] = match args.engine {
        Engine::Sim => simulated(),
        Engine::Embedded => made(folder)?,
        Engine::Host => {
            let mut models = if args.models.is_empty() { made(folder)? } else { given(&args.models) };
            for model in &mut models {
                for_host(model, accelerated());
                // As launchers split them: on blanks.
                let further = args.engine_options.iter().flat_map(|o| o.split_whitespace());
                model.options.extend(further.map(str::to_owned));
            }
            models
        }
    };
    Ok([Model { port: ports[0], ..alpha }, Model { port: ports[1], ..beta }])
}

fn simulated() -> [Model; 2] {
    // Tokens come fast: each path asks each time, and what is shown is the first one.
    let options = [SLEEP_MODE, "--sim-itl", "2ms"].map(str::to_owned);
    NAMES.map(|name| Model { options: options.to_vec(), ..plain(name, format!("sim-{name}")) })
}

fn plain(name: &str, model: String) -> Model {
    Model { name: name.to_owned(), model, port: 0, options: Vec::new(), env: vec![DEV_MODE], mounts: Vec::new() }
}

fn made(folder: &Path) -> anyhow::Result<[Model; 2]> {
    step("making two small models");
    let folder = folder.join("models");
    for name in NAMES {
        dormouse_engine::make_model(folder.join(name), name, &dormouse_engine::ModelOptions::default())?;
    }
    Ok(in_folder(&folder))
}

fn in_folder(folder: &Path) -> [Model; 2] {
    NAMES.map(|name| Model {
        options: [SLEEP_MODE, "--served-model-name", name].map(str::to_owned).to_vec(),
        mounts: vec![Mount { folder: folder.to_owned(), path: MODELS.into() }],
        ..plain(name, format!("{MODELS}/{name}"))
    })
}

/// Models of the user: a folder is seen where it is.
fn given(models: &[String]) -> [Model; 2] {
    let one = |at: usize| {
        let model = &models[at];
        let folder = std::path::absolute(model).ok().filter(|f| f.join("config.json").is_file());
        let mounts = folder.iter().map(|f| Mount { folder: f.clone(), path: f.clone() });
        Model {
            options: vec![SLEEP_MODE.to_owned()],
            mounts: mounts.collect(),
            ..plain(NAMES[at], folder.as_ref().map_or_else(|| model.clone(), |f| f.display().to_string()))
        }
    };
    let mut models = [one(0), one(1)];
    // One launcher serves both. The same folder twice is mounted once: no Pod may mount two volumes at one path.
    let mut all: Vec<Mount> = models.iter().flat_map(|m| m.mounts.clone()).collect();
    all.dedup();
    models.iter_mut().for_each(|m| m.mounts.clone_from(&all));
    models
}

/// What a real vLLM wants besides.
fn for_host(model: &mut Model, accelerated: bool) {
    if !accelerated {
        model.options.retain(|o| o != SLEEP_MODE);
        model.env.push(SMALL_CACHE);
    }
    if Path::new(&model.model).is_absolute() {
        model.env.push(OFFLINE);
    }
    model.mounts.extend(hidden_programs(which::which("vllm").ok()));
}

/// The environment that a program is installed in, where Pods would not see it.
fn hidden_programs(program: Option<PathBuf>) -> Option<Mount> {
    let folder = program?.parent()?.parent()?.to_owned();
    let temporary = folder.starts_with("/tmp") && folder != Path::new("/tmp");
    temporary.then(|| Mount { folder: folder.clone(), path: folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_engine_without_a_gpu_is_not_told_to_enable_sleep() {
        let [mut model, mut other] = in_folder(Path::new("/x"));
        for_host(&mut model, false);
        assert_eq!(model.options, ["--served-model-name", "alpha"]);
        assert!(model.env.contains(&SMALL_CACHE) && model.env.contains(&OFFLINE));
        for_host(&mut other, true);
        assert_eq!(other.options, [SLEEP_MODE, "--served-model-name", "beta"]);
        assert!(!other.env.contains(&SMALL_CACHE));
    }

    #[test]
    fn folders_are_mounted_and_names_are_left_to_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let [first, second] = given(&[folder.path().display().to_string(), "org/name".to_owned()]);
        let there = Mount { folder: folder.path().into(), path: folder.path().into() };
        assert_eq!((first.mounts.as_slice(), second.mounts.as_slice()), (&[there.clone()][..], &[there][..]));
        assert_eq!((first.model.as_str(), second.model.as_str()), (folder.path().to_str().unwrap(), "org/name"));
        let twice = [(); 2].map(|()| folder.path().display().to_string());
        assert!(given(&twice).iter().all(|m| m.mounts.len() == 1));
    }

    #[test]
    fn programs_under_tmp_are_mounted() {
        let mount = |program: &str| hidden_programs(Some(program.into())).map(|m| m.folder);
        assert_eq!(mount("/tmp/venv/bin/vllm"), Some("/tmp/venv".into()));
        assert_eq!(mount("/usr/bin/vllm"), None);
        assert_eq!(mount("/tmp/vllm"), None);
    }
}

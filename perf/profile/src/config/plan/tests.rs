use clap::Parser;
use dormouse_perf_data::Length as Drawn;

use super::*;
use crate::config::file;
use crate::options::ProfileArgs;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: ProfileArgs,
}

fn spec_of(config: &Json) -> Result<Spec, String> {
    let config = Config::read(config).map_err(|why| why.to_string())?;
    data(&config, EndpointType::Chat, None).map_err(|why| why.to_string())
}

/// What data these options ask for, or why there are none.
fn of_options(words: &str) -> Result<Spec, String> {
    let args = Line::parse_from(["perf", "-m", "m"].into_iter().chain(words.split_whitespace())).args;
    spec_of(&crate::run::document(&args).map_err(|why| format!("{why:#}"))?)
}

/// The same of members of `benchmark` in a file.
fn of_file(members: &str) -> Result<Spec, String> {
    spec_of(&file::parse(&format!("benchmark: {{{members}}}"), |_| None)?)
}

fn folder(path: &str, sampling: Sampling) -> ImageSource {
    ImageSource::Folder { path: path.into(), sampling }
}

#[test]
fn images_are_noise_or_pictures() {
    assert_eq!(of_options("--image-source noise --image-source-sampling random-with-replacement").unwrap().images, None);
    let sides = "--image-width-mean 30 --image-height-mean 20";
    for (words, format, source) in [
        ("", ImageFormat::Png, ImageSource::Noise),
        ("--image-format JPEG --image-source NOISE", ImageFormat::Jpeg, ImageSource::Noise),
        ("--image-format random --image-source ./pics", ImageFormat::Random, folder("./pics", Sampling::Random)),
        ("--image-source p --image-source-sampling shuffle-cycle", ImageFormat::Png, folder("p", Sampling::Shuffle)),
        ("--image-source p --image-source-sampling sequential-cycle", ImageFormat::Png, folder("p", Sampling::Sequential)),
    ] {
        let images = of_options(&format!("{sides} {words}")).unwrap().images.unwrap();
        assert_eq!((images.width.mean(), images.height.mean(), images.batch), (30.0, 20.0, 1), "{words}");
        assert_eq!((images.format, images.source), (format, source), "{words}");
    }
    let yaml = "model: m, dataset: {images: {width: {mean: 30, stddev: 4}, format: jpeg, source: ./pics, sourceSampling: shuffle_cycle}}";
    let images = of_file(yaml).unwrap().images.unwrap();
    assert_eq!((images.format, images.source), (ImageFormat::Jpeg, folder("./pics", Sampling::Shuffle)));
    // A folder that is named is used; a side of it has the peer's usual length.
    assert_eq!((images.width, images.height), (Drawn::normal(30.0, 4.0).unwrap(), Drawn::of(512.0)));
    assert_eq!(of_options("--image-source ./pics --image-width-mean 0").unwrap().images, None);
}

#[test]
fn images_that_cannot_be_are_named() {
    for (words, said) in [
        ("--image-source assets", "pass a folder"),
        ("--image-source-sampling shuffle-cycle", "--image-source-sampling: noise"),
        ("--image-source p --image-source-sampling often", "sequential-cycle"),
        ("--image-format gif", "png, jpeg, random"),
        ("--image-source p --input-file x.jsonl", "--image-source"),
        ("--image-source-sampling shuffle-cycle --input-file x.jsonl", "--image-source-sampling"),
    ] {
        let why = of_options(words).unwrap_err();
        assert!(why.contains(said), "{words}: {why}");
    }
}

#[test]
fn models_may_have_weights() {
    let file = |items: &str| of_file(&format!("models: {{strategy: weighted, items: [{items}]}}"));
    let spec = file("{name: a, weight: 3}, {name: b, weight: 1}").unwrap();
    assert_eq!((spec.models, spec.model_choice), (2, ModelChoice::Weighted(vec![3.0, 1.0])));
    for (items, said) in [
        ("{name: a, weight: 3}, {name: b}", "\"b\" has no weight"),
        ("{name: a, weight: 3}, {name: b, weight: -1}", "the weight of \"b\" is -1"),
        ("{name: a, weight: 0}, {name: b, weight: 0.0}", "come to 0 "),
        ("{name: a, weight: 1e308}, {name: b, weight: 1e308}", "come to inf "),
        ("{name: a, weight: .nan}, {name: b, weight: 1}", "weight"),
        ("{name: a, weight: .inf}, {name: b, weight: 1}", "weight"),
    ] {
        let why = file(items).unwrap_err();
        assert!(why.contains(said), "{items}: {why}");
    }
    let why = of_options("n --model-selection-strategy weighted").unwrap_err();
    assert!(why.contains("configuration file") && why.contains("models"), "{why}");
    // Without the strategy they say nothing.
    assert_eq!(of_file("models: {items: [{name: a, weight: 3}]}").unwrap().model_choice, ModelChoice::RoundRobin);
}

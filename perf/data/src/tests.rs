//! Data made up: exact, the same again, and each conversation for itself.

use std::collections::BTreeSet;
use std::thread;

use proptest::prelude::*;

use crate::conversation::Conversation;
use crate::dataset::{Dataset, Format, open};
use crate::distribution::Length;
use crate::lengths::{Pairs, RangeRatio};
use crate::spec::{Corpus, CorpusStyle, ModelChoice, Rankings, Sampling, Spec};
use crate::tokenizer::tests::small;

fn spec() -> Spec {
    Spec { seed: Some(42), entries: Some(10), isl: Length::of(20.0), ..Spec::default() }
}

fn made(spec: &Spec) -> Dataset {
    open(spec, Some(small())).unwrap()
}

fn text(conversation: &Conversation, turn: usize) -> &str {
    &conversation.turns[turn].texts[0].contents[0]
}

fn tokens(conversation: &Conversation, turn: usize) -> u64 {
    small().count(text(conversation, turn)) as u64
}

#[test]
fn the_same_seed_gives_the_same_data_on_any_thread() {
    let spec = Spec {
        turns: Length::normal(3.0, 1.0).unwrap(),
        delay: Length::normal(20.0, 5.0).unwrap(),
        osl: Some(Length::normal(12.0, 3.0).unwrap()),
        isl: Length::normal(20.0, 5.0).unwrap(),
        ..spec()
    };
    let (one, other) = (made(&spec), made(&spec));
    let all: Vec<_> = (0..10).map(|k| one.conversation(k)).collect();
    assert_eq!(one.turns(), all.iter().map(|c| c.turns.len()).sum::<usize>());
    let again = thread::scope(|scope| {
        let threads: Vec<_> = (0..10)
            .rev()
            .map(|k| {
                (
                    k,
                    scope.spawn({
                        let other = &other;
                        move || other.conversation(k)
                    }),
                )
            })
            .collect();
        threads.into_iter().rev().map(|(k, t)| (k, t.join().unwrap())).collect::<Vec<_>>()
    });
    for (k, conversation) in again {
        assert_eq!(conversation, all[k]);
        assert_eq!(conversation.id, format!("session_{k:06}"));
        assert!(conversation.turns[0].delay_ms.is_none() && conversation.turns.iter().skip(1).all(|t| t.delay_ms.unwrap() >= 0.0));
        assert!(conversation.turns.iter().all(|t| t.max_tokens.unwrap() >= 1));
    }
    assert_eq!(all.iter().flat_map(|c| &c.turns).map(|t| t.texts[0].contents[0].clone()).collect::<BTreeSet<_>>().len(), one.turns());
    let other = made(&Spec { seed: Some(43), ..spec.clone() });
    assert_ne!(other.conversation(0), all[0]);
    // What is drawn for one thing changes nothing for another.
    let longer = made(&Spec { osl: None, entries: Some(99), ..spec });
    assert_eq!(text(&longer.conversation(3), 0), text(&all[3], 0));
}

/// Every place draws what it is given.
#[test]
fn lengths_of_any_shape_reach_the_data() {
    let points = |values: &[f64]| Length::points(values.iter().map(|value| (*value, 1.0)).collect()).unwrap();
    let peaks = Length::peaks(vec![(Length::of(8.0), 1.0), (Length::log_normal(40.0, 30.0).unwrap(), 1.0)]).unwrap();
    let asked = Spec {
        turns: points(&[1.0, 4.0]),
        delay: points(&[2.5, 7.5]),
        isl: peaks.within(None, Some(64.0)).unwrap(),
        osl: Some(points(&[3.0, 4.5])),
        entries: Some(40),
        ..spec()
    };
    let data = made(&asked);
    let all: Vec<_> = (0..40).map(|k| data.conversation(k)).collect();
    let sorted = |values: BTreeSet<u64>| values.into_iter().collect::<Vec<_>>();
    let turns = || all.iter().flat_map(|c| &c.turns);
    assert_eq!(sorted(all.iter().map(|c| c.turns.len() as u64).collect()), [1, 4]);
    assert_eq!(data.turns(), turns().count());
    let delays: BTreeSet<String> = turns().filter_map(|t| t.delay_ms).map(|ms| ms.to_string()).collect();
    assert_eq!(delays.into_iter().collect::<Vec<_>>(), ["2.5", "7.5"]);
    assert_eq!(sorted(turns().filter_map(|t| t.max_tokens).collect()), [3, 5]);
    let lengths: BTreeSet<u64> = all.iter().flat_map(|c| (0..c.turns.len()).map(|at| tokens(c, at))).collect();
    assert!(lengths.contains(&8) && lengths.len() > 10 && lengths.iter().all(|n| *n <= 64), "{lengths:?}");
    // Of a window it is the mean that counts, and bounds hold there too.
    let ratio = Some(RangeRatio::parse("0.5").unwrap());
    let isl = points(&[10.0, 30.0]).within(Some(15.0), Some(25.0)).unwrap();
    let data = made(&Spec { isl, range_ratio: ratio, entries: Some(60), ..spec() });
    let lengths: BTreeSet<u64> = (0..60).map(|k| tokens(&data.conversation(k), 0)).collect();
    assert!(lengths.len() > 5 && lengths.iter().all(|n| (15..=25).contains(n)), "{lengths:?}");
    // As many turns as the bound says, whatever the number is.
    let data = made(&Spec { turns: Length::of(5.0).within(None, Some(2.0)).unwrap(), ..spec() });
    assert_eq!((data.turns(), data.conversation(3).turns.len()), (20, 2));
}

#[test]
fn without_a_seed_ids_are_uuids_and_no_two_runs_are_the_same() {
    let spec = Spec { seed: None, ..spec() };
    let (one, other) = (made(&spec), made(&spec));
    assert_eq!(one.conversation(1), one.conversation(1));
    assert_ne!(one.conversation(1), other.conversation(1));
    let id = uuid::Uuid::parse_str(&one.conversation(1).id).unwrap();
    assert_eq!(id.get_version_num(), 4);
    assert_eq!(made(&Spec { seed: Some(one.seed()), ..spec }).conversation(1).turns, one.conversation(1).turns);
}

#[test]
fn defaults_are_those_of_the_contract() {
    let data = made(&Spec::default());
    assert_eq!((data.len(), data.turns(), data.format(), data.has_timestamps()), (100, 100, Format::Synthetic, false));
    let first = data.conversation(0);
    assert_eq!((tokens(&first, 0), first.turns[0].max_tokens, first.system.clone()), (550, None, None));
}

#[test]
fn pairs_are_drawn_once_for_a_turn() {
    let pairs = Pairs::parse("10|2,64:25;30,128:75").unwrap();
    let data = made(&Spec { seq_dist: Some(pairs), turns: Length::of(2.0), batch: 2, entries: Some(40), ..spec() });
    let mut seen = BTreeSet::new();
    for k in 0..40 {
        let conversation = data.conversation(k);
        for turn in &conversation.turns {
            let isl = small().count(&turn.texts[0].contents[0]);
            assert_eq!(turn.max_tokens, Some(if isl == 30 { 128 } else { 64 }), "{isl}");
            assert_eq!(small().count(&turn.texts[0].contents[1]), isl);
            seen.insert(turn.max_tokens);
        }
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn windows_are_kept() {
    let ratio = Some(RangeRatio { input: 0.3, output: 0.5 });
    let base = Spec { isl: Length::of(100.0), osl: Some(Length::of(10.0)), range_ratio: ratio, entries: Some(60), ..spec() };
    for (style, isl, osl) in [(CorpusStyle::Vllm, 70..=130, 5..=15), (CorpusStyle::Sglang, 30..=100, 5..=10)] {
        let data = made(&Spec { style, corpus: Corpus::Random, ..base.clone() });
        for k in 0..60 {
            let conversation = data.conversation(k);
            assert!(isl.contains(&tokens(&conversation, 0)) && osl.contains(&conversation.turns[0].max_tokens.unwrap()));
        }
    }
}

#[test]
fn prefixes_are_shared_and_counted() {
    let data = made(&Spec { prefix_pool: 3, prefix_length: 30, turns: Length::of(2.0), entries: Some(40), ..spec() });
    let mut heads = BTreeSet::new();
    for k in 0..40 {
        let conversation = data.conversation(k);
        assert_eq!((tokens(&conversation, 0), tokens(&conversation, 1)), (50, 20));
        heads.insert(text(&conversation, 0).chars().take(60).collect::<String>());
    }
    assert_eq!(heads.len(), 3);
}

#[test]
fn systems_and_contexts() {
    let data = made(&Spec { shared_system_length: Some(40), user_context_length: Some(25), ..spec() });
    let (one, other) = (data.conversation(0), data.conversation(1));
    assert_eq!(one.system, other.system);
    assert_ne!(one.context, other.context);
    assert_eq!(small().count(one.system.as_deref().unwrap()), 40);
    assert_eq!(small().count(one.context.as_deref().unwrap()), 25);
    let data = made(&Spec { system_prompt: Some("S".to_owned()), ..spec() });
    assert_eq!(data.conversation(5).system.as_deref(), Some("S"));
}

#[test]
fn rankings_have_a_query_and_passages() {
    let rankings = Rankings { passages: Length::of(3.0), passage: Length::of(12.0), query: Length::of(7.0) };
    let turn = made(&Spec { rankings: Some(rankings), ..spec() }).conversation(0).turns.remove(0);
    assert_eq!((turn.texts[0].name.as_str(), turn.texts[1].name.as_str()), ("query", "passages"));
    let counts = |n: usize| turn.texts[n].contents.iter().map(|t| small().count(t)).collect::<Vec<_>>();
    assert_eq!((counts(0), counts(1)), (vec![7], vec![12; 3]));
}

#[test]
fn models_share_the_prompts() {
    let models = |choice: ModelChoice, turns: f64| {
        let data = made(&Spec { models: 3, model_choice: choice, turns: Length::of(turns), entries: Some(60), ..spec() });
        (0..60).flat_map(|k| data.conversation(k).turns).map(|t| t.model.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(models(ModelChoice::RoundRobin, 2.0)[..7], [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(models(ModelChoice::Random, 1.0).into_iter().collect::<BTreeSet<_>>().len(), 3);
    assert!(models(ModelChoice::Weighted(vec![0.0, 1.0, 0.0]), 1.0).into_iter().all(|m| m == 1));
    let often = models(ModelChoice::Weighted(vec![3.0, 1.0, 0.0]), 20.0);
    let first = often.iter().filter(|m| **m == 0).count();
    assert!((850..950).contains(&first) && !often.contains(&2), "{first} of {}", often.len());
    for weights in [vec![1.0], vec![1.0, -1.0, 1.0], vec![0.0; 3], vec![1.0, f64::NAN, 1.0], vec![f64::MAX; 3]] {
        let wrong = Spec { models: 3, model_choice: ModelChoice::Weighted(weights), ..spec() };
        assert!(open(&wrong, Some(small())).is_err());
    }
}

#[test]
fn options_that_cannot_be_are_named() {
    for (spec, flag) in [
        (Spec { entries: Some(0), ..spec() }, "--num-dataset-entries"),
        (Spec { range_ratio: Some(RangeRatio { input: 1.0, output: 0.0 }), ..spec() }, "--random-range-ratio"),
        (Spec { speedup: 0.0, ..spec() }, "--synthesis-speedup-ratio"),
        (Spec { block_size: Some(0), ..spec() }, "--isl-block-size"),
        (Spec { system_prompt: Some("x".to_owned()), prefix_pool: 1, ..spec() }, "--system-prompt"),
    ] {
        let why = open(&spec, Some(small())).unwrap_err().to_string();
        assert!(why.starts_with(flag), "{why}");
    }
    assert!(open(&spec(), None).unwrap_err().to_string().starts_with("--tokenizer"));
}

#[test]
fn orders() {
    let order = |sampling| made(&Spec { sampling, ..spec() }).order();
    assert_eq!(order(None).take(12).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    let shuffled: Vec<_> = order(Some(Sampling::Shuffle)).take(30).collect();
    for round in shuffled.chunks(10) {
        assert_eq!(round.iter().copied().collect::<BTreeSet<_>>().len(), 10);
    }
    assert_ne!(shuffled[..10], shuffled[10..20]);
    assert_eq!(shuffled, order(Some(Sampling::Shuffle)).take(30).collect::<Vec<_>>());
    let random: Vec<_> = order(Some(Sampling::Random)).take(200).collect();
    assert_eq!(random.iter().copied().collect::<BTreeSet<_>>().len(), 10);
    assert_ne!(random[..10].iter().copied().collect::<BTreeSet<_>>().len(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    /// Conversation k does not depend on which others were asked for.
    #[test]
    fn each_is_for_itself(seed: u64, k in 0usize..1_000_000, isl in 1u32..200) {
        let spec = Spec { seed: Some(seed), isl: Length::normal(f64::from(isl), 10.0).unwrap(), ..spec() };
        let data = made(&spec);
        let _ = data.conversation(k / 2);
        prop_assert_eq!(data.conversation(k), made(&spec).conversation(k));
    }
}

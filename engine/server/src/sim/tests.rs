use dormouse_devices::{Config, Devices, Gpu, LeaseState, Rates};
use dormouse_engine_client::admin::SleepMode;

use super::*;
use crate::args;
use crate::engine::{Engine, EngineError};
use crate::job::Params;
use crate::job::tests::params;

const GIB: u64 = 1 << 30;

fn devices(gpus: u32) -> Devices {
    let gpu = |k: u32| Gpu { uuid: format!("GPU-{k}"), index: k, product: "H100".into(), total_bytes: 80 * GIB };
    Devices::new(Config { gpus: (0..gpus).map(gpu).collect(), rates: Rates::default() }).unwrap()
}

fn serve_args(line: &str) -> ServeArgs {
    let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    args::parse(&argv).unwrap().0
}

async fn try_engine(devices: &Devices, line: &str) -> anyhow::Result<Engine> {
    let args = serve_args(line);
    let metrics = Arc::new(Metrics::new(args.model()));
    let accelerators = Accelerators::of(devices, args.tensor_parallel_size as usize)?;
    let backend = Simulator::start(&args, accelerators, metrics.clone()).await?;
    Ok(Engine::new(args.served_names(), Arc::new(backend), metrics, args.sim.ready_delay))
}

async fn engine(devices: &Devices, line: &str) -> Engine {
    try_engine(devices, line).await.unwrap()
}

fn used(devices: &Devices, gpu: usize) -> (u64, usize) {
    let snapshot = devices.snapshot();
    (snapshot.gpus[gpu].used_bytes, snapshot.gpus[gpu].awake().count())
}

/// The whole answer to a text, its end, and how long it took.
async fn ask(engine: &Engine, text: &str, params: Params) -> Result<(String, Finish, usize, Duration), EngineError> {
    let begun = Instant::now();
    let prompt = engine.backend().encode(text, true).unwrap();
    let mut events = engine.submit(prompt, params, 0)?;
    let mut said = String::new();
    loop {
        match events.recv().await.expect("an answer has an end") {
            Event::Text { delta, .. } => said.push_str(&delta),
            Event::End { finish, tokens, .. } => return Ok((said, finish, tokens, begun.elapsed())),
            Event::Failed(why) => panic!("{why}"),
        }
    }
}

/// Whole milliseconds; the timer rounds up to them.
fn millis(time: Duration) -> u128 {
    time.as_millis()
}

#[tokio::test(start_paused = true)]
async fn start_sleep_and_wake_take_what_the_links_take() {
    let d = devices(1);
    let begun = Instant::now();
    let e = engine(&d, "m --enable-sleep-mode --sim-init 500ms").await;
    // 8 GB at 5 GB/s, then at 50 GB/s, and the fixed part.
    assert_eq!(millis(begun.elapsed()), 500 + 1600 + 160);
    assert_eq!(used(&d, 0), (72 * GIB, 1));

    for (level, down, up) in [(1, 160, 160), (2, 0, 1600 + 160)] {
        let begun = Instant::now();
        e.sleep(level, SleepMode::Abort).await.unwrap();
        assert_eq!(millis(begun.elapsed()), down, "sleep at level {level}");
        assert!(e.is_sleeping());
        assert_eq!(used(&d, 0), (GIB, 0));
        let begun = Instant::now();
        e.wake(Parts::ALL, true).await.unwrap();
        assert_eq!(millis(begun.elapsed()), up, "wake from level {level}");
        assert!(!e.is_sleeping());
        assert_eq!(used(&d, 0), (72 * GIB, 1));
    }
    drop(e);
    assert_eq!(used(&d, 0), (0, 0), "the end of an engine gives everything back");
}

#[tokio::test(start_paused = true)]
async fn two_awake_models_do_not_fit_and_a_failed_wake_stays_asleep() {
    let d = devices(1);
    let a = engine(&d, "a --enable-sleep-mode").await;
    let e = try_engine(&d, "b").await.err().unwrap().to_string();
    assert!(e.contains("Free memory on device cuda:0 (8.00 GiB/80.00 GiB) on startup is less than desired GPU memory"), "{e}");
    assert!(e.contains("CUDA out of memory. Tried to allocate 72.00 GiB."), "{e}");
    assert_eq!(used(&d, 0), (72 * GIB, 1));

    a.sleep(1, SleepMode::Abort).await.unwrap();
    let b = engine(&d, "b --enable-sleep-mode").await;
    let before = d.snapshot().gpus.remove(0);
    let e = a.wake(Parts::ALL, true).await.unwrap_err();
    assert!(matches!(&e, EngineError::Failed(why) if why.contains("CUDA out of memory")), "{e}");
    assert!(a.is_sleeping() && matches!(a.check_admission(), Err(EngineError::Asleep { level: 1 })));
    let after = d.snapshot().gpus.remove(0);
    assert_eq!(after.leases, before.leases, "a failed wake leaves the memory as it was");
    assert_eq!(after.refused, before.refused + 1);

    b.sleep(2, SleepMode::Abort).await.unwrap();
    a.wake(Parts::ALL, true).await.unwrap();
    assert_eq!(used(&d, 0), (73 * GIB, 1));
}

#[tokio::test(start_paused = true)]
async fn answers_are_paced_and_depend_on_model_and_prompt_alone() {
    let d = devices(2);
    let a = engine(&d, "a --sim-ttft 100ms --sim-itl 10ms").await;
    let p = Params { max_tokens: 10, ..params() };
    let (text, finish, tokens, took) = ask(&a, "hello there", p.clone()).await.unwrap();
    assert_eq!((finish, tokens, millis(took)), (Finish::Length, 10, 100 + 9 * 10));
    assert!(text.starts_with("a (simulated) says: "), "{text}");
    assert_eq!(ask(&a, "hello there", p.clone()).await.unwrap().0, text);
    assert_ne!(ask(&a, "hello you", p.clone()).await.unwrap().0, text);
    let sampled = Params { temperature: 1.0, seed: Some(7), ..p.clone() };
    assert_ne!(ask(&a, "hello there", sampled).await.unwrap().0, text);

    let long = Params { max_tokens: 1000, ..params() };
    let (_, finish, tokens, _) = ask(&a, "hello there", long.clone()).await.unwrap();
    assert!(finish == Finish::Stop && tokens < 100);
    let (_, finish, tokens, _) = ask(&a, "hello there", Params { ignore_eos: true, ..long.clone() }).await.unwrap();
    assert_eq!((finish, tokens), (Finish::Length, 1000));
    let stopped = Params { stop: vec!["says".into()], ..long };
    assert_eq!(ask(&a, "hello there", stopped).await.unwrap().0, "a (simulated) ");

    // Jitter changes the pace and not the words.
    drop(a);
    let b = engine(&d, "a --sim-ttft 100ms --sim-itl 10ms --sim-jitter 0.5").await;
    let (jittered, _, _, took) = ask(&b, "hello there", p).await.unwrap();
    assert_eq!(jittered, text);
    assert_ne!(millis(took), 190);
}

#[tokio::test(start_paused = true)]
async fn sleep_aborts_waits_or_keeps_as_asked() {
    let d = devices(1);
    let e = engine(&d, "a --enable-sleep-mode --sim-ttft 100ms --sim-itl 100ms").await;
    let p = Params { max_tokens: 10, ignore_eos: true, ..params() };
    let running = |e: &Engine, p: &Params| {
        let (e, p) = (e.clone(), p.clone());
        tokio::spawn(async move { ask(&e, "hello", p).await.unwrap() })
    };
    let whole = ask(&e, "hello", p.clone()).await.unwrap();

    let job = running(&e, &p);
    tokio::time::sleep(Duration::from_millis(350)).await;
    e.sleep(1, SleepMode::Abort).await.unwrap();
    let (text, finish, tokens, _) = job.await.unwrap();
    assert_eq!((finish, tokens), (Finish::Abort, 3));
    assert!(whole.0.starts_with(&text));
    assert!(matches!(ask(&e, "hello", p.clone()).await, Err(EngineError::Asleep { level: 1 })));
    e.wake(Parts::ALL, true).await.unwrap();

    let job = running(&e, &p);
    tokio::time::sleep(Duration::from_millis(350)).await;
    let begun = Instant::now();
    e.sleep(1, SleepMode::Wait).await.unwrap();
    assert_eq!(millis(begun.elapsed()), 650 + 160);
    assert_eq!(job.await.unwrap().0, whole.0);
    e.wake(Parts::ALL, true).await.unwrap();

    let job = running(&e, &p);
    tokio::time::sleep(Duration::from_millis(350)).await;
    e.sleep(1, SleepMode::Keep).await.unwrap();
    assert_eq!(e.in_flight(), 1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    e.wake(Parts::ALL, true).await.unwrap();
    assert_eq!(job.await.unwrap().0, whole.0, "a kept answer goes on where it was");
    assert_eq!(e.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn parts_wake_one_by_one() {
    let d = devices(1);
    let e = engine(&d, "a --enable-sleep-mode").await;
    e.sleep(2, SleepMode::Abort).await.unwrap();
    let (weights, cache) = (Parts { weights: true, ..Parts::default() }, Parts { kv_cache: true, ..Parts::default() });
    e.wake(Parts::default(), false).await.unwrap();
    assert_eq!(used(&d, 0), (GIB, 0), "an unknown tag wakes nothing");
    e.wake(weights, false).await.unwrap();
    assert_eq!(used(&d, 0), (GIB + 8_000_000_000, 1));
    assert!(e.is_sleeping() && e.check_admission().is_err());
    e.wake(cache, false).await.unwrap();
    assert_eq!(used(&d, 0), (72 * GIB, 1));
    assert!(!e.is_sleeping() && e.check_admission().is_ok());
    // Level 0 only stops: nothing moves.
    let before = d.snapshot().links;
    e.sleep(0, SleepMode::Abort).await.unwrap();
    assert!(e.is_sleeping());
    assert_eq!(used(&d, 0), (72 * GIB, 1));
    e.wake(Parts::ALL, true).await.unwrap();
    assert_eq!(d.snapshot().links, before);
    assert!(!e.is_sleeping());
}

#[tokio::test(start_paused = true)]
async fn without_sleep_mode_nothing_is_freed() {
    let d = devices(1);
    let e = engine(&d, "a").await;
    e.sleep(1, SleepMode::Abort).await.unwrap();
    assert!(e.is_sleeping());
    assert_eq!(used(&d, 0).0, 72 * GIB);
    assert_eq!(d.snapshot().gpus[0].leases[0].state, LeaseState::Asleep);
    e.wake(Parts::ALL, true).await.unwrap();
    assert_eq!(used(&d, 0), (72 * GIB, 1));
}

#[tokio::test(start_paused = true)]
async fn a_model_on_two_gpus_moves_over_both_links_at_once() {
    let d = devices(2);
    let e = engine(&d, "a --enable-sleep-mode -tp 2").await;
    let begun = Instant::now();
    e.sleep(1, SleepMode::Abort).await.unwrap();
    assert_eq!(millis(begun.elapsed()), 80);
    assert_eq!((used(&d, 0), used(&d, 1)), ((GIB, 0), (GIB, 0)));
    // One of the two is taken: the wake fails and holds neither.
    let b = engine(&d, "b --enable-sleep-mode").await;
    assert!(e.wake(Parts::ALL, true).await.is_err());
    assert_eq!((used(&d, 0), used(&d, 1)), ((73 * GIB, 1), (GIB, 0)));
    drop(b);
    e.wake(Parts::ALL, true).await.unwrap();
    let e = try_engine(&d, "c -tp 3").await.err().unwrap().to_string();
    assert_eq!(e, "World size (3) is larger than the number of available GPUs (2)");
}

#[tokio::test(start_paused = true)]
async fn weights_that_do_not_fit_at_all_are_refused_before_loading() {
    let e = try_engine(&devices(1), "a --sim-model-bytes 100GB").await.err().unwrap().to_string();
    assert!(e.contains("No available memory for the cache blocks"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn the_ready_delay_comes_after_the_wake() {
    let d = devices(1);
    let e = engine(&d, "a --enable-sleep-mode --sim-ready-delay 100ms").await;
    e.sleep(1, SleepMode::Abort).await.unwrap();
    let begun = Instant::now();
    e.wake(Parts::ALL, true).await.unwrap();
    assert_eq!(millis(begun.elapsed()), 260);
}

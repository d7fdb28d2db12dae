//! Many like things on all cores.

/// Does something for each of many on all cores; the results stand in the order of what was given.
pub(crate) fn parallel<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8);
    if cores == 1 || all.len() < 4 {
        return all.iter().map(each).collect();
    }
    // Small pieces: a core that gets long documents takes fewer of them.
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(one) = all.get(at) else { return done };
                done.push((at, each(one)));
            }
        };
        let threads: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in threads {
            match thread.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

//! Ways in which bytes may be cut into reads: those of the bytes themselves, so that a check of the same bytes is the same check.

/// All at once, one by one, and three ways of chance, of few and of many pieces; some of them empty.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    // FNV-1a.
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let mut all = vec![vec![bytes], bytes.chunks(1).collect()];
    for most in [4, 40, bytes.len() + 1] {
        let (mut pieces, mut left) = (Vec::new(), bytes);
        while !left.is_empty() {
            let length = usize::try_from(next(&mut state) % most as u64).unwrap_or_default().min(left.len());
            let (piece, later) = left.split_at(length);
            pieces.push(piece);
            left = later;
        }
        all.push(pieces);
    }
    all
}

/// Splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

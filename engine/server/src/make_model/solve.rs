//! Symmetric positive definite systems by Cholesky's factorisation: a few hundred unknowns, once per model.

/// Added to the diagonal, relative to its mean: keeps the solution smooth, so that a state that is a little off (another
/// context, another machine's rounding) still leads to the right token.
pub(super) const RIDGE: f64 = 1e-4;

/// Lower triangular factor, row by row; row `i` has `i + 1` members.
pub(super) struct Factor(Vec<Vec<f64>>);

/// Factors `matrix` with the ridge added. `None` when it is not positive definite.
pub(super) fn cholesky(matrix: Vec<Vec<f64>>, ridge: f64) -> Option<Factor> {
    let n = matrix.len();
    #[allow(clippy::cast_precision_loss)]
    let mean = (0..n).map(|i| matrix[i][i]).sum::<f64>() / n as f64;
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(n);
    for (i, source) in matrix.into_iter().enumerate() {
        let mut row: Vec<f64> = Vec::with_capacity(i + 1);
        for j in 0..i {
            let known: f64 = row.iter().zip(&rows[j]).take(j).map(|(a, b)| a * b).sum();
            row.push((source[j] - known) / rows[j][j]);
        }
        let known: f64 = row.iter().map(|a| a * a).sum();
        let square = source[i] + ridge * mean - known;
        if square.is_nan() || square <= 0.0 {
            return None;
        }
        row.push(square.sqrt());
        rows.push(row);
    }
    Some(Factor(rows))
}

/// Solves for one right side.
pub(super) fn solve(Factor(rows): &Factor, mut x: Vec<f64>) -> Vec<f64> {
    for (i, row) in rows.iter().enumerate() {
        let known: f64 = row.iter().zip(&x).take(i).map(|(a, b)| a * b).sum();
        x[i] = (x[i] - known) / row[i];
    }
    for i in (0..rows.len()).rev() {
        let known: f64 = (i + 1..rows.len()).map(|k| rows[k][i] * x[k]).sum();
        x[i] = (x[i] - known) / rows[i][i];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_system_is_solved_and_an_indefinite_one_refused() {
        let matrix = vec![vec![4.0, 2.0, 0.0], vec![2.0, 5.0, 3.0], vec![0.0, 3.0, 6.0]];
        // For x = (1, 2, 3).
        let x = solve(&cholesky(matrix, 0.0).unwrap(), vec![8.0, 21.0, 24.0]);
        assert!(x.iter().zip([1.0, 2.0, 3.0]).all(|(a, b)| (a - b).abs() < 1e-9), "{x:?}");
        assert!(cholesky(vec![vec![1.0, 2.0], vec![2.0, 1.0]], 0.0).is_none());
    }
}

//! Reading a request's body within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;

/// What is read of a body that is too large, so that its sender comes to read the refusal.
const DRAIN: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit.
    #[error("it is too large")]
    TooLarge,
    /// Not all of it came within the time.
    #[error("it did not arrive in time")]
    TooSlow,
    /// It ended before its end.
    #[error("the connection broke")]
    Broken,
}

/// The whole body, of at most `limit` bytes, sent within `time`.
///
/// # Errors
/// See [`BodyError`].
pub async fn read(mut body: Body, limit: usize, time: Duration) -> Result<Bytes, BodyError> {
    let all = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            // A frame without data is one of trailers.
            let Ok(chunk) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
            if bytes.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Bytes::from(bytes))
    };
    let read = tokio::time::timeout(time, all).await.unwrap_or(Err(BodyError::TooSlow));
    if read == Err(BodyError::TooLarge) {
        let drain = async {
            let mut drained = 0;
            while let Some(Ok(frame)) = body.frame().await {
                drained += frame.data_ref().map_or(0, Bytes::len);
                if drained > DRAIN {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }
    read
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn body(chunks: &'static [&'static [u8]]) -> Body {
        Body::from_stream(stream::iter(chunks.iter().map(|c| Ok::<_, std::io::Error>(Bytes::from_static(c)))))
    }

    #[tokio::test(start_paused = true)]
    async fn bounds() {
        let read = |body, limit| read(body, limit, Duration::from_secs(10));
        assert_eq!(read(body(&[b"ab", b"c"]), 3).await.unwrap(), "abc");
        assert_eq!(read(body(&[b"ab", b"cd", b"e"]), 3).await, Err(BodyError::TooLarge));
        assert_eq!(read(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()), 3).await, Err(BodyError::TooSlow));
        let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("x"))]);
        assert_eq!(read(Body::from_stream(broken), 3).await, Err(BodyError::Broken));
    }
}

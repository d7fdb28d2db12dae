//! Reading a request's body within bounds of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use futures::StreamExt;

/// Time to send a body.
const TIME: Duration = Duration::from_secs(10);
/// What is read of a body that is too large, so that its sender comes to read the refusal.
const DRAIN: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

/// The whole body, of at most `limit` bytes.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut chunks = body.into_data_stream();
    let all = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| BodyError::Broken)?;
            if bytes.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let read = tokio::time::timeout(TIME, all).await.unwrap_or(Err(BodyError::TooSlow));
    if read == Err(BodyError::TooLarge) {
        let mut drained = 0;
        let drain = async {
            while let Some(Ok(chunk)) = chunks.next().await {
                drained += chunk.len();
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
    use super::*;

    fn body(chunks: &'static [&'static [u8]]) -> Body {
        Body::from_stream(futures::stream::iter(chunks.iter().map(|c| Ok::<_, std::io::Error>(Bytes::from_static(c)))))
    }

    #[tokio::test(start_paused = true)]
    async fn bounds() {
        assert_eq!(read(body(&[b"ab", b"c"]), 3).await.unwrap(), "abc");
        assert_eq!(read(body(&[b"ab", b"cd", b"e"]), 3).await, Err(BodyError::TooLarge));
        assert_eq!(read(Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>()), 3).await, Err(BodyError::TooSlow));
        let broken = futures::stream::iter([Err::<Bytes, _>(std::io::Error::other("x"))]);
        assert_eq!(read(Body::from_stream(broken), 3).await, Err(BodyError::Broken));
    }
}

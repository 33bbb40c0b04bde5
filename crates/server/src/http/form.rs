//! Forms with files, `multipart/form-data`.
//!
//! A form is read as it comes: its texts are kept and its files are only counted, so that a film takes no memory. To
//! handlers it is the JSON object of its members: a text, or an array of texts if the name came several times; a file
//! is `{"filename", "bytes"}`. What is kept of all parts together, and what waits to be parsed, is bounded by the limit
//! of a body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, ready};

use abide_wire::limits::BODY_BYTES_MAX;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};
use multer::{Constraints, Multipart, SizeLimit};
use serde_json::{Map, Value, json};

use super::answer::Body;
use super::error::ApiError;

/// How much of a file that is a body of its own is kept, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What a part counts beside its name and text, in bytes: its member of the object. It bounds the number of parts.
const PART_BYTES: usize = 256;

/// Whether the headers announce a form with files.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    boundary(headers).is_some()
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(kind).ok()
}

/// Reads a form of at most `bytes_max` bytes, and has the headers say that it is JSON now.
///
/// # Errors
///
/// It is larger, or no form.
///
/// # Cancel safety
///
/// Dropping it loses what has come.
pub(super) async fn read(
    headers: &mut HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, ApiError> {
    let boundary = boundary(headers).unwrap_or_default();
    let limit = SizeLimit::new().whole_stream(bytes_max as u64);
    let constraints = Constraints::new().size_limit(limit);
    // The parser keeps what comes until a part's head is whole, however long that is. It reads until nothing is there;
    // so it gets a piece and then nothing, and what it has parsed is taken before the next.
    let unparsed = Arc::new(AtomicUsize::new(0));
    let counted = unparsed.clone();
    let (mut pieces, mut has_given) = (body.into_pieces(), false);
    let pieces = stream::poll_fn(move |cx| {
        if std::mem::take(&mut has_given) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = ready!(pieces.poll_next_unpin(cx));
        has_given = true;
        Poll::Ready(piece.map(|piece| {
            let piece = piece.map_err(|error| error.to_string())?;
            match counted.fetch_add(piece.len(), Ordering::Relaxed) > BODY_BYTES_MAX {
                true => Err("a part's head is too long".to_owned()),
                false => Ok(piece),
            }
        }))
    });
    let mut form = Multipart::with_constraints(pieces, boundary, constraints);
    let (mut members, mut kept) = (Map::new(), 0);
    let mut keep = |bytes: usize| {
        kept += bytes;
        match kept > BODY_BYTES_MAX {
            true => Err(ApiError::too_large(BODY_BYTES_MAX)),
            false => Ok(()),
        }
    };
    let said = |error: multer::Error| said(&error, bytes_max);
    while let Some(mut field) = form.next_field().await.map_err(said)? {
        unparsed.store(0, Ordering::Relaxed);
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        keep(PART_BYTES + name.len() + filename.as_ref().map_or(0, String::len))?;
        let (mut text, mut length) = (Vec::new(), 0);
        while let Some(piece) = field.chunk().await.map_err(said)? {
            unparsed.store(0, Ordering::Relaxed);
            length += piece.len();
            if filename.is_none() {
                keep(piece.len())?;
                text.extend_from_slice(&piece);
            }
        }
        let value = match filename {
            Some(filename) => json!({"filename": filename, "bytes": length}),
            None => json!(String::from_utf8_lossy(&text)),
        };
        match members.get_mut(&name) {
            None => {
                members.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    Ok(Value::Object(members).to_string().into())
}

/// The beginning of a file of at most `bytes_max` bytes, which is read to its end.
///
/// # Errors
///
/// It is larger, or ends early.
///
/// # Cancel safety
///
/// Dropping it loses what has come.
pub(super) async fn head(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    let mut pieces = body.into_pieces();
    let (mut kept, mut length) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| ApiError::invalid_json(error.to_string()))?;
        length += piece.len();
        if length > bytes_max {
            return Err(ApiError::too_large(bytes_max));
        }
        let room = HEAD_BYTES_MAX - kept.len();
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(kept.into())
}

/// What is wrong with a form.
fn said(error: &multer::Error, bytes_max: usize) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { .. } => ApiError::too_large(bytes_max),
        error => ApiError::invalid_member(format!("the form can't be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn form(body: &str, bytes_max: usize) -> Result<Value, u16> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("multipart/form-data; boundary=\"-x\"");
        headers.insert(header::CONTENT_TYPE, kind);
        assert!(is_form(&headers));
        let size = if body.len() > 1_000 { 16_384 } else { 7 };
        let pieces = body.as_bytes().chunks(size);
        let pieces: Vec<_> = pieces
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let body = Body::stream(futures_util::stream::iter(pieces));
        let read = read(&mut headers, body, bytes_max).await;
        let read = read.map_err(|error| error.problem().status)?;
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        assert!(!is_form(&headers));
        Ok(serde_json::from_slice(&read).unwrap())
    }

    const FORM: &str = "---x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\none\r\n\
        ---x\r\ncontent-disposition: form-data; name=\"b\"\r\n\r\n1\r\n\
        ---x\r\ncontent-disposition: form-data; name=\"b\"\r\n\r\n2\r\n\
        ---x\r\ncontent-disposition: form-data; name=\"b\"\r\n\r\n3\r\n\
        ---x\r\ncontent-disposition: form-data; name=\"film\"; filename=\"talk.mp4\"\r\n\
        content-type: video/mp4\r\n\r\n123456789\r\n---x--\r\n";

    #[tokio::test]
    async fn a_form_becomes_an_object_of_its_texts_and_the_sizes_of_its_files() {
        let film = json!({"filename": "talk.mp4", "bytes": 9});
        let expected = json!({"a": "one", "b": ["1", "2", "3"], "film": film});
        assert_eq!(form(FORM, 1_000).await, Ok(expected));
    }

    #[tokio::test]
    async fn of_a_file_the_beginning_is_kept() {
        let file = || Body::from("x".repeat(HEAD_BYTES_MAX + 1));
        let kept = head(file(), HEAD_BYTES_MAX + 1).await.unwrap();
        assert_eq!(kept.len(), HEAD_BYTES_MAX);
        let refused = head(file(), HEAD_BYTES_MAX).await.unwrap_err();
        assert_eq!(refused.problem().status, 413);
    }

    #[tokio::test]
    async fn a_form_that_is_too_large_or_ends_early_is_refused() {
        assert_eq!(form(FORM, 300).await, Err(413));
        assert_eq!(form(&FORM[..200], 1_000).await, Err(422));
        for empty in ["---x--\r\n", "---x--", "odd\r\n---x--"] {
            assert_eq!(form(empty, 1_000).await, Ok(json!({})), "{empty}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_of_all_parts_together_is_bounded() {
        let part =
            |head: &str| format!("---x\r\ncontent-disposition: form-data; {head}\r\n\r\n\r\n");
        let many = BODY_BYTES_MAX / PART_BYTES + 1;
        let long = "n".repeat(BODY_BYTES_MAX / 8);
        let bodies = [
            (part("name=\"x\"; filename=\"\"").repeat(many), 413),
            (part("name=\"x\"").repeat(many), 413),
            (part(&format!("name=\"{long}\"")).repeat(8), 413),
            (
                part(&format!("name=\"x\"; filename=\"{long}\"")).repeat(8),
                413,
            ),
            // Neither a head nor what comes before the first part ends.
            (part(&format!("name=\"x\"\r\nx: {}", long.repeat(20))), 422),
            (long.repeat(20), 422),
        ];
        for (body, status) in bodies {
            let body = body + "---x--\r\n";
            assert_eq!(form(&body, usize::MAX).await, Err(status), "{body:.80}");
        }
        let film = "m".repeat(4 * BODY_BYTES_MAX);
        let film =
            part("name=\"x\"; filename=\"f\"").replacen("\r\n\r\n", &format!("\r\n\r\n{film}"), 1);
        let read = form(&(film + "---x--\r\n"), usize::MAX).await.unwrap();
        assert_eq!(read["x"]["bytes"], json!(4 * BODY_BYTES_MAX));
    }
}

//! Who issued a certificate, and until when it holds: the two of its members that people ask for, and no more of X.509.
//!
//! Nothing is decided by it. Whether a certificate is trusted the TLS library says.

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The name of who issued it.
    pub(super) issuer: String,
    /// The end of its validity: `2031-05-30`.
    pub(super) until: String,
}

/// Reads a certificate in DER; `None` when it is none.
pub(super) fn read(der: &[u8]) -> Option<Said> {
    let (mut certificate, _) = inner(der, SEQUENCE)?;
    let mut body = take(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&0xa0) {
        take(&mut body, 0xa0)?;
    }
    take(&mut body, INTEGER)?;
    take(&mut body, SEQUENCE)?;
    let issuer = name(take(&mut body, SEQUENCE)?).unwrap_or_else(|| "nobody by name".to_owned());
    let mut validity = take(&mut body, SEQUENCE)?;
    element(&mut validity)?;
    let (kind, until) = element(&mut validity)?;
    Some(Said { issuer, until: date(kind, until)? })
}

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];

/// The first element: its kind and what is in it; the rest stays.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&kind, left) = rest.split_first()?;
    let (&short, left) = left.split_first()?;
    let (length, left) = if short < 0x80 {
        (usize::from(short), left)
    } else {
        let digits = usize::from(short & 0x7f);
        let (long, left) = left.split_at_checked(digits).filter(|_| (1..=4).contains(&digits))?;
        (long.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit)), left)
    };
    let (content, left) = left.split_at_checked(length)?;
    *rest = left;
    Some((kind, content))
}

fn take<'a>(rest: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    element(rest).filter(|(found, _)| *found == kind).map(|(_, content)| content)
}

fn inner(mut bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    Some((take(&mut bytes, kind)?, bytes))
}

/// The common name, or the organization.
fn name(mut parts: &[u8]) -> Option<String> {
    let mut found: [Option<String>; 2] = [None, None];
    while let Some(mut set) = take(&mut parts, SET) {
        while let Some(mut pair) = take(&mut set, SEQUENCE) {
            let (kind, (_, value)) = (take(&mut pair, OBJECT)?, element(&mut pair)?);
            for (place, wanted) in found.iter_mut().zip([COMMON_NAME, ORGANIZATION]) {
                if kind == wanted {
                    place.get_or_insert_with(|| String::from_utf8_lossy(value).into_owned());
                }
            }
        }
    }
    found.into_iter().flatten().next()
}

/// `YYMMDD…` or `YYYYMMDD…` as a date.
fn date(kind: u8, digits: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.is_ascii())?;
    let text = match kind {
        // Two digits of a year are those from 1950 to 2049.
        UTC_TIME => format!("{}{text}", if text.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    Some(format!("{}-{}-{}", text.get(..4)?, text.get(4..6)?, text.get(6..8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element of a kind.
    fn der(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![kind];
        match u8::try_from(content.len()) {
            Ok(length) if length < 0x80 => out.push(length),
            Ok(length) => out.extend([0x81, length]),
            Err(_) => {
                out.push(0x82);
                out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            }
        }
        out.extend(content);
        out
    }

    fn certificate(until: Vec<u8>) -> Vec<u8> {
        let part =
            |kind: &[u8], text: &str| der(SET, &[der(SEQUENCE, &[der(OBJECT, &[kind.to_vec()]), der(0x0c, &[text.as_bytes().to_vec()])])]);
        let body = [
            der(0xa0, &[der(INTEGER, &[vec![2]])]),
            der(INTEGER, &[vec![7; 20]]),
            der(SEQUENCE, &[der(OBJECT, &[vec![1, 2, 3]])]),
            der(SEQUENCE, &[part(ORGANIZATION, "Org"), part(COMMON_NAME, "Some Root")]),
            der(SEQUENCE, &[der(UTC_TIME, &[b"240101000000Z".to_vec()]), until]),
            der(SEQUENCE, &[vec![0; 300]]),
        ];
        der(SEQUENCE, &[der(SEQUENCE, &body)])
    }

    #[test]
    fn issuer_and_end_are_read() {
        let said = |until: Vec<u8>| read(&certificate(until)).map(|said| (said.issuer, said.until));
        let want = |until: &str| Some(("Some Root".to_owned(), until.to_owned()));
        assert_eq!(said(der(UTC_TIME, &[b"310530120000Z".to_vec()])), want("2031-05-30"));
        assert_eq!(said(der(GENERALIZED_TIME, &[b"20510530120000Z".to_vec()])), want("2051-05-30"));
        assert_eq!(said(der(INTEGER, &[vec![1]])), None);
    }

    #[test]
    fn what_is_none_is_none() {
        let whole = certificate(der(UTC_TIME, &[b"310530120000Z".to_vec()]));
        for cut in 0..whole.len() - 300 {
            let mut bytes = whole[..cut].to_vec();
            assert_eq!(read(&bytes), None);
            bytes.extend([0xff; 8]);
            let _ = read(&bytes);
        }
    }
}

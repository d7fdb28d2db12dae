//! The wire format: numbered values of four kinds, one after the other.

use super::Error;

/// How deeply groups, which nobody writes any more, may be nested in what is skipped.
const MAX_GROUPS: usize = 32;

/// A value as it stands in a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Bytes, text, or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32,
}

impl<'a> Wire<'a> {
    fn wrong<T>(self, field: &'static str) -> Result<T, Error> {
        let wire = match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Bytes(_) => 2,
            Self::Fixed32 => 5,
        };
        Err(Error::WireType { wire, field })
    }

    pub(super) fn varint(self, field: &'static str) -> Result<u64, Error> {
        if let Self::Varint(number) = self { Ok(number) } else { self.wrong(field) }
    }

    pub(super) fn double(self, field: &'static str) -> Result<f64, Error> {
        if let Self::Fixed64(bits) = self { Ok(f64::from_bits(bits)) } else { self.wrong(field) }
    }

    pub(super) fn bytes(self, field: &'static str) -> Result<&'a [u8], Error> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { self.wrong(field) }
    }

    /// Text; what is no UTF-8 is replaced, as it is when Go prints it.
    pub(super) fn text(self, field: &'static str) -> Result<String, Error> {
        self.bytes(field).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// Reads a message value by value.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next number and value, `None` at the end. Groups are skipped.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Wire<'a>)>, Error> {
        let mut groups = 0;
        while !self.rest.is_empty() {
            let tag = self.varint()?;
            let number = tag >> 3;
            // A tag has 32 bits, three of which are the kind.
            if number == 0 || number >= 1 << 29 {
                return Err(Error::Malformed);
            }
            let value = match tag & 7 {
                0 => Wire::Varint(self.varint()?),
                1 => Wire::Fixed64(self.fixed64()?),
                2 => Wire::Bytes(self.delimited()?),
                3 if groups < MAX_GROUPS => {
                    groups += 1;
                    continue;
                }
                4 if groups > 0 => {
                    groups -= 1;
                    continue;
                }
                5 => {
                    self.take(4)?;
                    Wire::Fixed32
                }
                _ => return Err(Error::Malformed),
            };
            if groups == 0 {
                return Ok(Some((number, value)));
            }
        }
        if groups == 0 { Ok(None) } else { Err(Error::Malformed) }
    }

    /// The next of packed numbers, `None` at the end.
    pub(super) fn next_packed(&mut self, double: bool) -> Result<Option<Wire<'a>>, Error> {
        Ok(match self.rest {
            [] => None,
            _ if double => Some(Wire::Fixed64(self.fixed64()?)),
            _ => Some(Wire::Varint(self.varint()?)),
        })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Error::Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    fn delimited(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::try_from(self.varint()?).map_err(|_| Error::Malformed)?;
        self.take(length)
    }

    fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?.try_into().map_err(|_| Error::Malformed)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take(1)? else { return Err(Error::Malformed) };
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Error::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_their_bounds() {
        let mut max = vec![0x08];
        max.extend([0xff; 9]);
        max.push(0x01);
        assert!(matches!(Reader::new(&max).next(), Ok(Some((1, Wire::Varint(u64::MAX))))));
        let endless = [&[0x08][..], &[0xff; 11]].concat();
        assert_eq!(Reader::new(&endless).next().unwrap_err(), Error::Malformed);
        assert_eq!(Reader::new(&[0x0a, 0x05, 1]).next().unwrap_err(), Error::Malformed);
        assert_eq!(Reader::new(&[0x00, 0x00]).next().unwrap_err(), Error::Malformed);
    }

    #[test]
    fn groups_are_skipped() {
        // A group 1 with a number inside, then number 2 = 7.
        assert!(matches!(Reader::new(&[0x0b, 0x08, 0x01, 0x0c, 0x10, 0x07]).next(), Ok(Some((2, Wire::Varint(7))))));
        assert_eq!(Reader::new(&[0x0b]).next().unwrap_err(), Error::Malformed);
        assert_eq!(Reader::new(&[0x0c]).next().unwrap_err(), Error::Malformed);
        assert_eq!(Reader::new(&[0x0b; 64]).next().unwrap_err(), Error::Malformed);
    }
}

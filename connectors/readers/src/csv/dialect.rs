//! How a text is made of records and fields.

/// The bytes that mean something. All are ASCII, so that no part of a character can be taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between two fields.
    pub delimiter: u8,
    /// Around a field that holds other special bytes; only at a field's start does it open one.
    pub quote: Option<u8>,
    /// Before a quote that belongs to the field.
    pub escape: Option<u8>,
    /// Whether two quotes within quotes are one that belongs to the field.
    pub doubled: bool,
    /// At the start of a record: it is none, up to the end of the line.
    pub comment: Option<u8>,
    /// Ends a record; before a line feed, a carriage return belongs to the end.
    pub end: u8,
    /// A record may have one empty field too many, at its end.
    pub trailing: bool,
    /// A record may lack fields at its end: they are null.
    pub short: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            doubled: true,
            comment: None,
            end: b'\n',
            trailing: false,
            short: false,
        }
    }
}

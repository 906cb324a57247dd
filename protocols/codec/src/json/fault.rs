//! What can be wrong with a record. Small and `Copy`, so that the hot path pays nothing for it; texts are made when asked for.

/// Why a value does not fit its column, though it is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    FoundString,
    FoundNumber,
    FoundBoolean,
    FoundObject,
    FoundArray,
    FoundNull,
    FoundNonFinite,
    Missing,
    HasFraction,
    OutOfRange,
    NotExactInFloat,
    TooManyDecimals,
    TooManyDigits,
    InvalidUtf8,
    LoneSurrogate,
    BadEscape,
    ControlCharacter,
    NotBase64,
    NotANumber,
    NotADate,
    NotATimestamp,
    NotATime,
    NoSuchDay,
    YearOutOfRange,
    BelowMicroseconds,
    NotMidnight,
    HasZone,
    ShiftedDate,
}

impl Problem {
    /// One phrase, that never contains the value.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::FoundString => "found a string",
            Self::FoundNumber => "found a number",
            Self::FoundBoolean => "found a boolean",
            Self::FoundObject => "found an object",
            Self::FoundArray => "found an array",
            Self::FoundNull => "found null",
            Self::FoundNonFinite => "found NaN or an infinity",
            Self::Missing => "is missing",
            Self::HasFraction => "the number has a fraction",
            Self::OutOfRange => "the number is out of range",
            Self::NotExactInFloat => "the number has more digits than a 64-bit float keeps",
            Self::TooManyDecimals => "the number has more decimals than the type keeps",
            Self::TooManyDigits => "the number has more digits than the type keeps",
            Self::InvalidUtf8 => "the text is not valid UTF-8",
            Self::LoneSurrogate => "the text has half of a surrogate pair",
            Self::BadEscape => "the text has an invalid escape",
            Self::ControlCharacter => "the text has an unescaped control character",
            Self::NotBase64 => "the text is not base64",
            Self::NotANumber => "the text is not a number",
            Self::NotADate => "the text is not a date `YYYY-MM-DD`",
            Self::NotATimestamp => "the text is not an RFC 3339 date-time",
            Self::NotATime => "the text is not a time `HH:MM:SS[.ffffff]`",
            Self::NoSuchDay => "there is no such day or time",
            Self::YearOutOfRange => "the year is outside 0001 to 9999",
            Self::BelowMicroseconds => "the fraction of the second is finer than a microsecond",
            Self::NotMidnight => "the date-time is not midnight",
            Self::HasZone => "the value has a time zone, the column has none",
            Self::ShiftedDate => "the date-time has an offset from UTC",
        }
    }
}

/// Why a text is not JSON. The cursor stands where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    ExpectedObject,
    ExpectedValue,
    ExpectedKey,
    ExpectedColon,
    ExpectedCommaOrBrace,
    ExpectedCommaOrBracket,
    ExpectedEnd,
    BadNumber,
    BadName,
    OpenString,
    TooDeep,
}

impl Broken {
    /// One phrase, to be followed by the byte offset.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ExpectedObject => "expected an object",
            Self::ExpectedValue => "expected a value",
            Self::ExpectedKey => "expected a property name",
            Self::ExpectedColon => "expected `:`",
            Self::ExpectedCommaOrBrace => "expected `,` or `}`",
            Self::ExpectedCommaOrBracket => "expected `,` or `]`",
            Self::ExpectedEnd => "expected the end of the line",
            Self::BadNumber => "malformed number",
            Self::BadName => "property name is not valid Unicode text",
            Self::OpenString => "string is never closed",
            Self::TooDeep => "nested deeper than 512 levels",
        }
    }
}

/// Either: the cell is bad, or the record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Bad(Problem),
    Broken(Broken),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Bad(problem)
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

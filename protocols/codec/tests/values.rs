//! What each type takes, and what it refuses.

mod common;

use common::{cell, cell_bytes};

const INTEGER: &str = r#"{"type":"integer"}"#;
const NUMBER: &str = r#"{"type":["null","number"]}"#;
const STRING: &str = r#"{"type":"string"}"#;
const BOOLEAN: &str = r#"{"type":"boolean"}"#;
const DATE: &str = r#"{"type":"string","format":"date"}"#;
const MOMENT: &str = r#"{"type":"string","format":"date-time"}"#;
const NAIVE: &str = r#"{"type":"string","airbyte_type":"timestamp_without_timezone"}"#;
const TIME: &str = r#"{"type":"string","format":"time"}"#;
const BASE64: &str = r#"{"type":"string","contentEncoding":"base64"}"#;
const CENTS: &str = r#"{"type":"number","multipleOf":0.01}"#;
const ANY: &str = "{}";

fn takes(schema: &str, cases: &[(&str, &str)]) {
    for (value, expected) in cases {
        assert_eq!(cell(schema, value).as_deref(), Ok(*expected), "{value}");
    }
}

fn refuses(schema: &str, cases: &[(&str, &str)]) {
    for (value, reason) in cases {
        assert_eq!(cell(schema, value), Err((*reason).to_owned()), "{value}");
    }
}

#[test]
fn integers_take_whole_numbers_in_any_form() {
    takes(
        INTEGER,
        &[
            ("0", "0"),
            ("-7", "-7"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("-0", "0"),
            ("999999999999999999", "999999999999999999"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("null", "null"),
        ],
    );
    refuses(
        INTEGER,
        &[
            (
                "9223372036854775808",
                "expected int64: the number is out of range",
            ),
            (
                "100000000000000000000000000000",
                "expected int64: the number is out of range",
            ),
            ("1.5", "expected int64: the number has a fraction"),
            ("\"1\"", "expected int64: found a string"),
            ("true", "expected int64: found a boolean"),
            ("{}", "expected int64: found an object"),
            ("[1]", "expected int64: found an array"),
            ("NaN", "expected int64: found NaN or an infinity"),
            ("-Infinity", "expected int64: found NaN or an infinity"),
            ("01", "broken: malformed number at byte 7"),
            ("1.", "broken: malformed number at byte 7"),
            ("-", "broken: malformed number at byte 6"),
            ("+1", "broken: expected a value at byte 5"),
        ],
    );
}

#[test]
fn floats_take_what_they_can_give_back() {
    takes(
        NUMBER,
        &[
            ("1", "1.0"),
            ("-0.0", "-0.0"),
            ("0.1", "0.1"),
            ("3.141592653589793", "3.141592653589793"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("5e-324", "5e-324"),
            ("1.2300", "1.23"),
            ("NaN", "\"NaN\""),
            ("Infinity", "\"Infinity\""),
            ("-Infinity", "\"-Infinity\""),
            ("null", "null"),
        ],
    );
    let lost = "expected float64: the number has more digits than a 64-bit float keeps";
    refuses(
        NUMBER,
        &[
            ("3.14159265358979323846264338327", lost),
            ("9007199254740993", lost),
            ("0.1234567890123456789", lost),
            ("1e400", "expected float64: the number is out of range"),
            ("\"1.5\"", "expected float64: found a string"),
            ("false", "expected float64: found a boolean"),
            ("nul", "broken: expected a value at byte 5"),
        ],
    );
}

#[test]
fn decimals_are_exact() {
    takes(
        CENTS,
        &[
            ("1", "1.00"),
            ("-0.05", "-0.05"),
            ("1.500", "1.50"),
            ("15e-1", "1.50"),
            ("0", "0.00"),
            (
                "123456789012345678901234567890.12",
                "123456789012345678901234567890.12",
            ),
        ],
    );
    refuses(
        CENTS,
        &[
            (
                "0.001",
                "expected decimal128(38, 2): the number has more decimals than the type keeps",
            ),
            (
                "1e36",
                "expected decimal128(38, 2): the number has more digits than the type keeps",
            ),
            ("\"1\"", "expected decimal128(38, 2): found a string"),
            (
                "NaN",
                "expected decimal128(38, 2): found NaN or an infinity",
            ),
        ],
    );
}

#[test]
fn strings_keep_every_character() {
    takes(
        STRING,
        &[
            ("\"\"", "\"\""),
            (r#""a\u0000b""#, r#""a\u0000b""#),
            (
                r#""\ud83d\ude00 \/ \"q\" \\ \u00e9""#,
                "\"😀 / \\\"q\\\" \\\\ é\"",
            ),
            (
                "\"Grüße, 世界 — a longer text that passes blocks of sixteen bytes\"",
                "\"Grüße, 世界 — a longer text that passes blocks of sixteen bytes\"",
            ),
            (r#""\\""#, r#""\\""#),
        ],
    );
    refuses(
        STRING,
        &[
            ("1", "expected utf8: found a number"),
            ("true", "expected utf8: found a boolean"),
            ("{\"a\":\"}\"}", "expected utf8: found an object"),
            (
                r#""\ud800 \" tail""#,
                "expected utf8: the text has half of a surrogate pair",
            ),
            (r#""\x41""#, "expected utf8: the text has an invalid escape"),
            (
                "\"a\tb\"",
                "expected utf8: the text has an unescaped control character",
            ),
            ("\"open", "broken: string is never closed at byte 11"),
        ],
    );
    assert_eq!(
        cell_bytes(STRING, b"\"a\xFF\xFEb\""),
        Err("expected utf8: the text is not valid UTF-8".to_owned())
    );
    assert_eq!(
        cell_bytes(STRING, b"\"\xED\xA0\x80\""),
        Err("expected utf8: the text is not valid UTF-8".to_owned())
    );
    assert_eq!(
        cell_bytes(STRING, b"\"\\n\xFF\""),
        Err("expected utf8: the text is not valid UTF-8".to_owned())
    );
}

#[test]
fn booleans_are_two_words() {
    takes(
        BOOLEAN,
        &[("true", "true"), ("false", "false"), ("null", "null")],
    );
    refuses(
        BOOLEAN,
        &[
            ("1", "expected bool: found a number"),
            ("\"true\"", "expected bool: found a string"),
        ],
    );
    assert!(cell(BOOLEAN, "truex").unwrap_err().starts_with("broken"));
}

#[test]
fn moments_are_instants_in_utc() {
    takes(
        MOMENT,
        &[
            (
                r#""2024-02-29T12:34:56.789+02:00""#,
                r#""2024-02-29T10:34:56.789000Z""#,
            ),
            (r#""2024-02-29 12:34:56""#, r#""2024-02-29T12:34:56Z""#),
            (r#""2024-02-29""#, r#""2024-02-29T00:00:00Z""#),
            (r#""2024\u002d02-29""#, r#""2024-02-29T00:00:00Z""#),
        ],
    );
    refuses(
        MOMENT,
        &[
            (
                r#""""#,
                "expected timestamp[us, UTC]: the text is not an RFC 3339 date-time",
            ),
            (
                r#""0000-00-00 00:00:00""#,
                "expected timestamp[us, UTC]: the year is outside 0001 to 9999",
            ),
            (
                r#""2024-02-30T00:00:00Z""#,
                "expected timestamp[us, UTC]: there is no such day or time",
            ),
            (
                r#""2024-02-29T00:00:00.1234567Z""#,
                "expected timestamp[us, UTC]: the fraction of the second is finer than a microsecond",
            ),
            ("1709210096", "expected timestamp[us, UTC]: found a number"),
        ],
    );
    takes(
        NAIVE,
        &[(r#""2024-02-29T12:34:56""#, r#""2024-02-29T12:34:56""#)],
    );
    refuses(
        NAIVE,
        &[(
            r#""2024-02-29T12:34:56Z""#,
            "expected timestamp[us]: the value has a time zone, the column has none",
        )],
    );
}

#[test]
fn dates_and_times() {
    takes(
        DATE,
        &[
            (r#""2024-02-29""#, r#""2024-02-29""#),
            (r#""2024-02-29T00:00:00Z""#, r#""2024-02-29""#),
        ],
    );
    refuses(
        DATE,
        &[
            (
                r#""2024-02-29T01:00:00Z""#,
                "expected date32: the date-time is not midnight",
            ),
            (
                r#""2024-02-29T00:00:00+01:00""#,
                "expected date32: the date-time has an offset from UTC",
            ),
        ],
    );
    takes(
        TIME,
        &[
            (r#""12:34:56.5""#, r#""12:34:56.500000""#),
            (r#""00:00:00""#, r#""00:00:00""#),
        ],
    );
    refuses(
        TIME,
        &[(
            r#""12:34:56Z""#,
            "expected time64[us]: the value has a time zone, the column has none",
        )],
    );
}

#[test]
fn base64_is_binary() {
    takes(
        BASE64,
        &[
            (r#""aGVsbG8=""#, r#""aGVsbG8=""#),
            (r#""aGVsbG8""#, r#""aGVsbG8=""#),
            (r#""""#, r#""""#),
        ],
    );
    refuses(
        BASE64,
        &[(r#""a!b""#, "expected binary: the text is not base64")],
    );
}

#[test]
fn json_text_is_exact() {
    for value in [
        r#"{"a" : [1.10, 1e400,{"b":"\u00e9\/"}] }"#,
        "123456789012345678901234567890",
        "\"text\"",
        "[]",
        "true",
    ] {
        assert_eq!(cell(ANY, value).as_deref(), Ok(value));
    }
    refuses(
        ANY,
        &[
            ("[NaN]", "expected json: found NaN or an infinity"),
            (
                r#"{"a":"\ud800"}"#,
                "expected json: the text has half of a surrogate pair",
            ),
            ("[1,]", "broken: expected a value at byte 8"),
        ],
    );
}

#[test]
fn reasons_never_contain_the_value() {
    for schema in [
        INTEGER, NUMBER, STRING, BOOLEAN, DATE, MOMENT, TIME, BASE64, CENTS,
    ] {
        for value in [
            "\"s3cr3t\"",
            "[\"s3cr3t\"]",
            "{\"s3cr3t\":1}",
            "\"s3cr3t\\ud800\"",
            "s3cr3t",
        ] {
            if let Err(reason) = cell(schema, value) {
                assert!(!reason.contains("s3cr3t"), "{reason}");
            }
        }
    }
}

#[test]
fn nesting_has_a_limit_and_no_stack_to_overflow() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for schema in [ANY, INTEGER] {
        let _ = cell(schema, &nested(512));
        assert!(
            cell(schema, &nested(513))
                .unwrap_err()
                .starts_with("broken: nested deeper than 512 levels")
        );
        assert!(
            cell(schema, &"[{\"a\":".repeat(1_000_000))
                .unwrap_err()
                .starts_with("broken")
        );
    }
    assert_eq!(cell(ANY, &nested(512)), Ok(nested(512)));
}

//! Instants and spans, as they are written on the wire.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant in whole milliseconds since the Unix epoch, UTC.
///
/// Written as RFC 3339 with three decimals, `2026-11-22T00:22:36.000Z`. Milliseconds are the resolution of every time
/// that the protocol tells, so what is stored, compared and shown is the same number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    // Milliseconds since just before the year 0, so that they are never 0 and `Option` of an instant takes no more
    // room.
    NonZeroU64,
);

/// Why a text is not an instant or a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseTimeError(String);

impl Timestamp {
    /// The last instant that has a four-digit year, `9999-12-30T21:59:59.999Z`. Later ones are clamped to it.
    pub const MAX: Self = Self::of(253_402_207_199_999);
    /// The first instant of the year 0. Earlier ones are clamped to it.
    const MIN: Self = Self::of(-62_167_219_200_000);
    /// What is added to the milliseconds.
    const SHIFT: i64 = 62_167_219_200_001;

    /// The instant that many milliseconds after the epoch, clamped to the years 0 to 9999.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis > Self::MAX.as_millis() {
            Self::MAX
        } else if millis < Self::MIN.as_millis() {
            Self::MIN
        } else {
            Self::of(millis)
        }
    }

    /// That many milliseconds after the epoch, which lie within the bounds.
    const fn of(millis: i64) -> Self {
        let shifted = millis.wrapping_add(Self::SHIFT).cast_unsigned();
        Self(NonZeroU64::new(shifted).expect("the first instant is 1"))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.get().cast_signed() - Self::SHIFT
    }

    /// How long `earlier` lies before `self`; zero where it lies after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Timestamp {
    /// The epoch.
    fn default() -> Self {
        Self::of(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({})", self.as_millis())
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Rounds the span up to whole milliseconds, so that a deadline is never early; saturates at [`Timestamp::MAX`].
    fn add(self, span: Duration) -> Self {
        let nanos = span.as_nanos();
        let millis = i64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(millis))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_sub(millis))
    }
}

impl Timestamp {
    /// The text, put down without the formatting machinery: every job has several instants in it.
    fn with_text<T>(self, then: impl FnOnce(&str) -> T) -> T {
        let instant = jiff::Timestamp::from_millisecond(self.as_millis()).unwrap_or_default();
        let civil = jiff::tz::Offset::UTC.to_datetime(instant);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |last: usize, number: u32| {
            let (mut at, mut rest) = (last, number);
            while rest > 0 {
                text[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
                // The largest number of each place has as many digits as there is room for.
                at = at.saturating_sub(1);
            }
        };
        put(3, civil.year().unsigned_abs().into());
        put(6, civil.month().unsigned_abs().into());
        put(9, civil.day().unsigned_abs().into());
        put(12, civil.hour().unsigned_abs().into());
        put(15, civil.minute().unsigned_abs().into());
        put(18, civil.second().unsigned_abs().into());
        put(22, civil.millisecond().unsigned_abs().into());
        then(std::str::from_utf8(&text).expect("these are digits and signs"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        if let Some(instant) = parse_as_written(text.as_bytes()) {
            return Ok(instant);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| {
            ParseTimeError(format!(
                "{text:?} is not an RFC 3339 instant such as 2026-11-22T00:22:36.000Z"
            ))
        })?;
        Ok(Self::from_millis(instant.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Reads an instant where the text lies.
struct Text;

impl de::Visitor<'_> for Text {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an RFC 3339 instant")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(E::custom)
    }
}

/// An instant in the very form in which we write it. A restart reads millions of them, and anything else is the
/// library's.
fn parse_as_written(text: &[u8]) -> Option<Timestamp> {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let text: &[u8; 24] = text.try_into().ok()?;
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        sign => byte == sign,
    };
    if !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |digits: std::ops::Range<usize>| {
        let digits = text[digits].iter();
        digits.fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'))
    };
    let small = |digits| number(digits) as i8;
    let civil = jiff::civil::DateTime::new(
        number(0..4),
        small(5..7),
        small(8..10),
        small(11..13),
        small(14..16),
        small(17..19),
        i32::from(number(20..23)) * 1_000_000,
    );
    let instant = jiff::tz::Offset::UTC.to_timestamp(civil.ok()?).ok()?;
    Some(Timestamp::from_millis(instant.as_millisecond()))
}

/// A length of time as people write it: `"500ms"`, `"1m 30s"`, or a number of seconds.
///
/// Read from either form and from ISO 8601 (`"PT1M30S"`); written as text. Never negative and at most
/// [`Span::MAX`], so that adding one to an instant always has an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// The longest span there is: 366 days.
    pub const MAX: Duration = Duration::from_secs(366 * 86_400);

    /// The span of that length, clamped to [`Span::MAX`].
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self(length.min(Self::MAX))
    }

    /// The span of that many seconds.
    ///
    /// # Errors
    ///
    /// Where the number is negative, not finite, or more than [`Span::MAX`].
    pub fn from_secs_f64(seconds: f64) -> Result<Self, ParseTimeError> {
        if seconds.is_nan() || seconds < 0.0 {
            return Err(ParseTimeError(format!(
                "a duration must not be negative, but is {seconds} s"
            )));
        }
        if seconds > Self::MAX.as_secs_f64() {
            return Err(ParseTimeError(format!(
                "a duration must be at most 366 days, but is {seconds} s"
            )));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }

    /// The length.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(length: Duration) -> Self {
        Self::new(length)
    }
}

impl FromStr for Span {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        if let Ok(seconds) = text.trim().parse::<f64>() {
            return Self::from_secs_f64(seconds);
        }
        let span: Option<jiff::Span> = text.trim().parse().ok();
        // A day is 24 hours here, and whatever is longer depends on the calendar.
        let days = jiff::SpanRelativeTo::days_are_24_hours();
        let span = span.and_then(|span| span.to_duration(days).ok());
        let span = span.ok_or_else(|| {
            ParseTimeError(format!(
                "{text:?} is not a duration such as \"500ms\", \"1m 30s\" or a number of seconds"
            ))
        })?;
        let length = Duration::try_from(span).map_err(|_| {
            ParseTimeError(format!("a duration must not be negative, but is {text:?}"))
        })?;
        if length > Self::MAX {
            return Err(ParseTimeError(format!(
                "a duration must be at most 366 days, but is {text:?}"
            )));
        }
        Ok(Self(length))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"500ms\", \"1m 30s\" or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Span, E> {
                Span::from_secs_f64(seconds).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Span, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Span, E> {
                self.visit_f64(seconds as f64)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use std::borrow::Cow;

    use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, SchemaType, Type};
    use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};

    impl utoipa::PartialSchema for super::Timestamp {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .description(Some("An instant, RFC 3339 in UTC with milliseconds."))
                .into()
        }
    }

    impl utoipa::ToSchema for super::Timestamp {
        fn name() -> Cow<'static, str> {
            "Timestamp".into()
        }
    }

    /// A span as it is written by us, and mostly by others: numbers with units, the largest first.
    const SPAN: &str = "^(\
        [0-9]{1,7}(\\.[0-9]{1,9})?\
        |[0-9]{1,2}d( [0-9]{1,2}h)?\
        |([0-7]?[0-9]{1,3}|8[0-6][0-9]{2}|87[0-7][0-9]|878[0-3])h( [0-5]?[0-9]m)?( [0-5]?[0-9]s)?( [0-9]{1,3}ms)?( [0-9]{1,3}µs)?( [0-9]{1,3}ns)?\
        |8784h\
        |[0-9]{1,5}m( [0-5]?[0-9]s)?( [0-9]{1,3}ms)?( [0-9]{1,3}µs)?( [0-9]{1,3}ns)?\
        |[0-9]{1,7}s( [0-9]{1,3}ms)?( [0-9]{1,3}µs)?( [0-9]{1,3}ns)?\
        |[0-9]{1,7}ms( [0-9]{1,3}µs)?( [0-9]{1,3}ns)?\
        |[0-9]{1,7}µs( [0-9]{1,3}ns)?\
        |[0-9]{1,7}ns\
        )$";

    impl utoipa::PartialSchema for super::Span {
        fn schema() -> RefOr<Schema> {
            OneOfBuilder::new()
                .item(
                    ObjectBuilder::new()
                        .schema_type(SchemaType::Type(Type::Number))
                        .minimum(Some(0))
                        .maximum(Some(31_622_400)),
                )
                .item(
                    ObjectBuilder::new()
                        .schema_type(SchemaType::Type(Type::String))
                        .pattern(Some(SPAN)),
                )
                .description(Some(
                    "A duration: `\"500ms\"`, `\"1m 30s\"`, or a number of seconds.",
                ))
                .into()
        }
    }

    impl utoipa::ToSchema for super::Span {
        fn name() -> Cow<'static, str> {
            "Span".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_the_calendar_has_it() {
        let days = (-800_000_i64..=2_932_000).step_by(9_973);
        let odd = [
            0,
            -1,
            1,
            999,
            951_782_399_999,
            951_868_800_000,
            i64::MIN,
            i64::MAX,
        ];
        let all = days.map(|day| day * 86_400_000 + day.rem_euclid(86_399_999));
        for millis in all.chain(odd) {
            let instant = Timestamp::from_millis(millis);
            let expected = jiff::Timestamp::from_millisecond(instant.as_millis()).unwrap();
            assert_eq!(instant.to_string(), format!("{expected:.3}"));
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        let table: &[(&str, Result<u64, &str>)] = &[
            (r#""500ms""#, Ok(500)),
            (r#""1m 30s""#, Ok(90_000)),
            (r#""PT1M30S""#, Ok(90_000)),
            (r#""1h""#, Ok(3_600_000)),
            (r#""7d""#, Ok(604_800_000)),
            (r#""1d 2h""#, Ok(93_600_000)),
            (r#""367d""#, Err("at most 366 days")),
            (r#""1 month""#, Err("is not a duration")),
            (r#""2.5""#, Ok(2_500)),
            ("2.5", Ok(2_500)),
            ("0", Ok(0)),
            ("-1", Err("must not be negative")),
            (r#""-3s""#, Err("must not be negative")),
            ("1e300", Err("at most 366 days")),
            (r#""soon""#, Err("is not a duration")),
            ("null", Err("a duration such as")),
        ];
        for (json, expected) in table {
            match (serde_json::from_str::<Span>(json), expected) {
                (Ok(span), Ok(millis)) => {
                    assert_eq!(span.get().as_millis(), u128::from(*millis), "{json}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.to_string().contains(part), "{json}: {error}");
                }
                (got, _) => panic!("{json}: {got:?}"),
            }
        }
    }

    #[test]
    fn instants_are_written_with_three_decimals_and_read_back() {
        for millis in [0, 1, 1_795_306_956_000, 1_795_306_956_789, -1] {
            let instant = Timestamp::from_millis(millis);
            let text = serde_json::to_string(&instant).unwrap();
            assert_eq!(text.len(), 26, "{text}");
            assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), instant);
        }
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
    }

    #[test]
    fn an_instant_may_be_missing_without_taking_more_room() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<Timestamp>());
        let order = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp::from_millis);
        assert!(order.is_sorted() && order[1] < order[2]);
        assert_eq!(Timestamp::default().as_millis(), 0);
    }

    #[test]
    fn what_we_write_is_read_as_the_library_reads_it() {
        let read = |text: &str| parse_as_written(text.as_bytes()).map(Timestamp::as_millis);
        for text in [
            "2026-11-22T00:22:36.007Z",
            "1970-01-01T00:00:00.000Z",
            "0000-01-01T00:00:00.000Z",
            "9999-12-30T21:59:59.999Z",
            "2024-02-29T23:59:59.999Z",
        ] {
            let library: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(read(text), Some(library.as_millisecond()), "{text}");
        }
        for text in [
            "2026-11-22T00:22:36Z",
            "2026-11-22T00:22:36.007+",
            "2026-11-22t00:22:36.007Z",
            "2023-02-29T00:00:00.000Z",
            "2016-12-31T23:59:60.000Z",
            "2026-11-22T00:22:3x.007Z",
            "2026-11-22T00:22:36.0070Z",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_span_survives_being_written_and_read() {
        for millis in [0, 1, 999, 1_000, 90_000, 3_600_000, 31_622_400_000] {
            let span = Span::new(Duration::from_millis(millis));
            let text = serde_json::to_string(&span).unwrap();
            assert_eq!(serde_json::from_str::<Span>(&text).unwrap(), span, "{text}");
        }
    }
}

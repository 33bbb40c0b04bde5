//! How each sort of value is written, in every layer alike.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use abide_wire::{DurationLaw, Span};
use ipnet::IpNet;

use super::key::Role;
use super::types::{
    ByteLimit, ClockSort, Dialects, Directives, JobStart, Lead, ListenAddr, LogFormat, Quota,
    RateLimit, WebhookAllow,
};
use crate::scenario::Scenario;

/// A value that is read from text and shown as text again.
pub(super) trait Value: Sized {
    /// Whether several values make one, separated by commas.
    const IS_LIST: bool = false;
    /// Whether it is a switch, which as a flag needs no value.
    const IS_SWITCH: bool = false;

    fn parse(text: &str) -> Result<Self, String>;

    /// Text that `parse` reads back, but for secrets.
    fn show(&self) -> String;
}

/// The units of a number of bytes, the largest first.
const BYTE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("", 1),
];

impl Value for ByteLimit {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let read = BYTE_UNITS.iter().find_map(|(unit, bytes)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(*bytes).filter(|bytes| *bytes > 0)
        });
        read.map(Self::Bytes).ok_or_else(|| {
            format!("{text:?} is not a number of bytes such as 512MiB, 2GiB, 1000000 or auto")
        })
    }

    fn show(&self) -> String {
        let Self::Bytes(bytes) = *self else {
            return "auto".to_owned();
        };
        let mut units = BYTE_UNITS.into_iter();
        let whole = units.find(|(_, unit)| bytes % unit == 0);
        let (name, unit) = whole.unwrap_or(("", 1));
        format!("{}{name}", bytes / unit)
    }
}

impl Value for ListenAddr {
    const IS_LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let mut listen = Self::from(Self::DEFAULT);
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            match part.split_once('=') {
                Some((name, address)) => {
                    listen
                        .dialects
                        .push((name.trim().to_owned(), socket(address)?));
                }
                None => listen.main = socket(part)?,
            }
        }
        Ok(listen)
    }

    fn show(&self) -> String {
        let dialects = self.dialects.iter();
        let dialects = dialects.map(|(name, address)| format!(",{name}={address}"));
        self.main.to_string() + &dialects.collect::<String>()
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let port = text.strip_prefix(':').unwrap_or(text);
    let port = port.strip_prefix("localhost:").unwrap_or(port);
    if let Ok(port) = port.parse() {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip, 8080).into());
    }
    text.parse().map_err(|_| {
        format!("{text:?} is not an address and port such as 127.0.0.1:8080, [::1]:8080 or :8080")
    })
}

impl Value for RateLimit {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "off" {
            return Ok(Self(None));
        }
        let wrong = || {
            format!("{text:?} is not a limit such as 600/min, 25/min, 10/s, 100/15s, 5000/h or off")
        };
        let (requests, window) = text.split_once('/').ok_or_else(wrong)?;
        let requests = requests.trim().parse().map_err(|_| wrong())?;
        let window = match window.trim() {
            "s" | "sec" | "second" => Duration::from_secs(1),
            "m" | "min" | "minute" => Duration::from_secs(60),
            "h" | "hour" => Duration::from_secs(3_600),
            "d" | "day" => Duration::from_secs(86_400),
            other => other.parse::<Span>().map_err(|_| wrong())?.get(),
        };
        // Clients are told of it in whole seconds.
        let day = Duration::from_secs(86_400);
        if window < Duration::from_secs(1) || window > day || window.subsec_nanos() > 0 {
            return Err(format!(
                "the window of a limit must be 1 s to 1 day in whole seconds, but is {window:?}"
            ));
        }
        Ok(Self(Some(Quota { requests, window })))
    }

    fn show(&self) -> String {
        let Some(Quota { requests, window }) = self.0 else {
            return "off".to_owned();
        };
        match window.as_secs() {
            1 => format!("{requests}/s"),
            60 => format!("{requests}/min"),
            3_600 => format!("{requests}/h"),
            86_400 => format!("{requests}/day"),
            _ => format!("{requests}/{}", Span::new(window)),
        }
    }
}

impl Value for IpNet {
    /// An address is the network that has no other.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let address = || text.parse::<IpAddr>().map(Self::from);
        text.parse()
            .or_else(|_| address())
            .map_err(|_| format!("{text:?} is neither a network such as 10.0.0.0/8 nor an address"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for WebhookAllow {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "none" {
            return Ok(Self::None);
        }
        if let Ok(network) = IpNet::parse(text) {
            return Ok(Self::Network(network));
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if text.is_empty() || text.len() > 253 || !text.chars().all(is_host) {
            return Err(format!(
                "{text:?} is neither a network such as 10.0.0.0/8, nor a host name, nor none"
            ));
        }
        Ok(Self::Host(text.to_ascii_lowercase()))
    }

    fn show(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Network(network) => network.to_string(),
            Self::Host(host) => host.clone(),
        }
    }
}

impl Value for Dialects {
    const IS_LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let names: Vec<String> = Value::parse(text)?;
        Ok(
            match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] => Self::Near,
                ["all"] => Self::All,
                ["none"] => Self::None,
                _ => Self::Named(names),
            },
        )
    }

    fn show(&self) -> String {
        match self {
            Self::Near => String::new(),
            Self::All => "all".to_owned(),
            Self::None => "none".to_owned(),
            Self::Named(names) => names.join(","),
        }
    }
}

impl Value for DurationLaw {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: abide_wire::law::ParseLawError| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Scenario {
    /// Reads the file where it isn't a built-in one.
    fn parse(text: &str) -> Result<Self, String> {
        Self::open(text)
    }

    fn show(&self) -> String {
        self.source().to_owned()
    }
}

impl Value for Span {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|error: abide_wire::time::ParseTimeError| error.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const IS_SWITCH: Self = true;

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("must not be empty".to_owned());
        }
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Not set, where the text is empty or `off`.
impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" | "off" => Ok(None),
            text => T::parse(text).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "off".to_owned(), T::show)
    }
}

impl<T: Value> Value for Vec<T> {
    const IS_LIST: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(T::parse)
            .collect()
    }

    fn show(&self) -> String {
        self.iter().map(T::show).collect::<Vec<_>>().join(",")
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl Value for $ty {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim()
                    .parse()
                    .map_err(|error| format!("{text:?} is not a number that can be here: {error}"))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u32, u64, f64, usize);

macro_rules! counts {
    ($($ty:ty),*) => {$(
        impl Value for $ty {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim()
                    .parse()
                    .map_err(|_| format!("{text:?} is not a whole number that can be here, such as 1"))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

counts!(NonZeroU32, NonZeroUsize);

macro_rules! words {
    ($($ty:ident { $($word:literal => $variant:ident),* })*) => {$(
        impl Value for $ty {
            fn parse(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is none of {}", [$($word),*].join(", "))),
                }
            }

            fn show(&self) -> String {
                match self {
                    $(Self::$variant => $word.to_owned(),)*
                }
            }
        }
    )*};
}

words! {
    ClockSort { "real" => Real, "manual" => Manual }
    Directives { "on" => On, "off" => Off }
    JobStart { "boot" => Boot, "first-poll" => FirstPoll }
    Lead { "auto" => Auto, "never" => Never }
    LogFormat { "text" => Text, "json" => Json }
    Role { "admin" => Admin, "user" => User, "read" => Read }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// What is read is shown as expected, and what is shown is read back.
    fn check<T: Value + PartialEq + fmt::Debug>(table: &[(&str, &str)]) {
        for (text, shown) in table {
            let value = T::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(value.show(), *shown, "{text}");
            assert_eq!(T::parse(shown), Ok(value), "{text}");
        }
    }

    fn refuse<T: Value + fmt::Debug>(table: &[(&str, &str)]) {
        for (text, said) in table {
            let error = T::parse(text).expect_err(text);
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        check::<ListenAddr>(&[
            ("127.0.0.1:0", "127.0.0.1:0"),
            (":9000", "127.0.0.1:9000"),
            ("9000", "127.0.0.1:9000"),
            ("localhost:9000", "127.0.0.1:9000"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("[::1]:80", "[::1]:80"),
            ("", "127.0.0.1:8080"),
            ("fal=:9001, :9000", "127.0.0.1:9000,fal=127.0.0.1:9001"),
        ]);
        check::<RateLimit>(&[
            ("600/min", "600/min"),
            ("25/60s", "25/min"),
            ("10/s", "10/s"),
            ("100/15s", "100/15s"),
            ("5000/h", "5000/h"),
            ("off", "off"),
        ]);
        check::<DurationLaw>(&[
            ("lognormal:20:0.5", "lognormal:20s:0.5"),
            (r#"{"uniform":{"min":"1s","max":2}}"#, "uniform:1s:2s"),
        ]);
        check::<Vec<WebhookAllow>>(&[
            ("10.0.0.0/8, Hooks.Example", "10.0.0.0/8,hooks.example"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("none", "none"),
            ("", ""),
        ]);
        check::<ByteLimit>(&[
            ("auto", "auto"),
            ("2 GiB", "2GiB"),
            ("2048MiB", "2GiB"),
            ("1536KiB", "1536KiB"),
            ("1000", "1000"),
        ]);
        check::<Option<Span>>(&[("", "off"), ("off", "off"), ("20", "20s")]);
        check::<bool>(&[("yes", "true"), ("0", "false")]);
        check::<JobStart>(&[("first-poll", "first-poll")]);
    }

    #[test]
    fn a_wrong_value_is_told_what_would_be_right() {
        refuse::<ListenAddr>(&[
            ("here", "such as 127.0.0.1:8080"),
            ("1.2.3.4:99999", "such as"),
            ("fal=there", "such as"),
        ]);
        refuse::<RateLimit>(&[
            ("0/s", "such as"),
            ("5", "such as"),
            ("5/fortnight", "such as"),
            ("5/0s", "1 s to 1 day"),
            ("100/1500ms", "whole seconds"),
        ]);
        refuse::<ByteLimit>(&[
            ("0", "such as 512MiB"),
            ("1GB", "such as"),
            ("99999999999GiB", "such as"),
        ]);
        refuse::<DurationLaw>(&[("uniform:30:10", "must not be more than")]);
        refuse::<WebhookAllow>(&[("http://x", "network such as")]);
        refuse::<ClockSort>(&[("fake", "none of real, manual")]);
        refuse::<bool>(&[("maybe", "neither")]);
        refuse::<NonZeroU32>(&[("0", "such as 1"), ("-1", "such as 1"), ("x", "such as 1")]);
    }
}

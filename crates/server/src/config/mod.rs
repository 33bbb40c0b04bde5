//! The configuration: one struct, filled from layers.
//!
//! Flags win over the environment, the environment over `.env`, that over a TOML file, that over defaults. [`SETTINGS`]
//! is the one table of what can be set; flags, environment variables, file keys, their help and `abide config` are all
//! made from it. An unknown key is refused, and the nearest known one is named.
//!
//! ```
//! use abide_server::config::Layers;
//!
//! let resolved = Layers::default().flag("listen", ":0").flag("speed", "60").resolve()?;
//! assert_eq!(resolved.config.speed.get(), 60);
//! assert!(resolved.to_string().contains("speed = 60"));
//! # Ok::<(), abide_server::config::ConfigError>(())
//! ```

mod bounds;
mod database;
mod key;
mod layers;
mod memory;
mod settings;
mod types;
mod value;

pub use database::{DatabaseUrl, SHARED_SETTINGS};
pub use key::{ApiKey, Role};
pub use layers::{ConfigError, Layers, Resolved, Source};
pub use memory::ByteLimits;
pub use settings::{Config, DEFAULT_JOB, SETTINGS, Setting};
pub use types::{
    ByteLimit, ClockSort, Dialects, Directives, JobStart, Lead, ListenAddr, LogFormat, Quota,
    RateLimit, Secret, WebhookAllow,
};

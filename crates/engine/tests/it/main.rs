//! Laws that hold for every history, and tables of what leads to what.

mod calibration;
mod commands;
mod deliveries;
mod golden;
mod kinds;
mod laws;
mod leases;
mod levels;
mod meta;
mod shares;

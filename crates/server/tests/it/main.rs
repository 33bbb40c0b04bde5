//! The server: in process on virtual time for the most part, on real sockets where it is about those.

mod bounds;
mod bytes;
mod classic;
mod common;
mod connections;
mod dialects;
mod docs;
mod driver;
mod faults;
mod house;
mod jobs;
mod limits;
mod nth;
mod openapi;
mod overload;
mod report;
mod requests;
mod reset;
mod scenarios;
mod secrets;
mod simulator;
mod sockets;
mod storage;
mod streams;
mod webhooks;
mod work;

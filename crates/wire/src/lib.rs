//! abide-wire

//! abide-engine

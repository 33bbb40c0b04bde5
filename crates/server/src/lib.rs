//! abide-server

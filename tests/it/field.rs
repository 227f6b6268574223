//! What users of gateways reported in public, one test for each report, through the real server with scripted providers.

mod client;

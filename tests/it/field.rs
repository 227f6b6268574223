//! What users of gateways reported in public, one test for each report, through the real server. The comment of a test has the number of its case.

mod client;
mod machine;
mod provider;

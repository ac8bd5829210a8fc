//! seabed-objecter

"""Speed, measured: no test times anything, these scripts do."""

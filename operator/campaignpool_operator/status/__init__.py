"""Projects what was observed and planned onto the status, its conditions and Events; pure."""

"""What everything else stands on: errors, deadlines, configuration, text. It knows no noun."""

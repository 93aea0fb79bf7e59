"""The events port: wins, bills, losses, impressions, clicks, conversions, cookie sync."""

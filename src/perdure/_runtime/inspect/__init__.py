"""Looks at runs from outside: lists, reports and audits."""

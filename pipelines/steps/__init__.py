"""What each asset does, without Dagster: find the inputs, ask the store, make one call.

Every function takes the project and names, and returns a store entry (plus what a person
wants to see of it). Calling one twice with nothing changed does the work once.
"""

package main

// terminal is the terminal that the program runs in.
const terminal = "CONIN$"

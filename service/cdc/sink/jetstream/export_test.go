package jetstream

// Covers is covers.
func Covers(wide, narrow string) bool { return covers(wide, narrow) }

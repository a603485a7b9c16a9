package pgtest

// External returns what is wrong with the URL of a server.
func External(dsn string) error {
	_, err := external(dsn)
	return err
}

// Newest returns the directories with a server that runs, the newest version first.
func Newest(dirs []string) []string {
	var bins []string
	for _, p := range newest(dirs) {
		bins = append(bins, p.bin)
	}
	return bins
}

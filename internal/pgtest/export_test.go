package pgtest

// External returns what is wrong with the URL of a server.
func External(dsn string) error {
	_, err := external(dsn)
	return err
}

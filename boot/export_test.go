package boot

// NewServiceListener lets tests drive a listener by hand.
var NewServiceListener = newServiceListener

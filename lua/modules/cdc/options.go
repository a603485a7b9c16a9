package cdc

import (
	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// streamOptions decodes the options of cdc.stream. What depends on the source is left to it; after is the cursor behind
// which the stream is to begin, nil if there is none.
func streamOptions(v lua.LValue) (opts api.StreamOptions, after *string, err error) {
	var cursor string
	var accepted, ops []string
	var buffer, maxBytes int64
	for _, op := range api.Ops() {
		accepted = append(accepted, string(op))
	}
	word := option.Word("after", &cursor)
	err = option.Decode(v,
		option.Words("tables", &opts.Tables, nil),
		option.Words("ops", &ops, accepted),
		snapshot(&opts.Start),
		option.Whole("buffer", &buffer, 1, api.MaxBuffer),
		option.Whole("max_bytes", &maxBytes, 1, 0),
		option.Flag("schema", &opts.Schema),
		option.Word("consumer", &opts.Consumer),
		option.Field{Key: "after", Set: func(v lua.LValue) error { after = &cursor; return word.Set(v) }},
		option.Flag("markers", &opts.Markers),
	)
	for _, op := range ops {
		opts.Ops = append(opts.Ops, api.Op(op))
	}
	opts.Buffer, opts.MaxBytes = int(buffer), unit.Size(maxBytes)
	return opts, after, err
}

// snapshot is a flag that leaves the choice to the source if it is not given.
func snapshot(start *api.Start) option.Field {
	const key = "snapshot"
	return option.Field{Key: key, Set: func(v lua.LValue) error {
		var asked bool
		if err := option.Flag(key, &asked).Set(v); err != nil {
			return err
		}
		*start = api.Live()
		if asked {
			*start = api.Snapshot()
		}
		return nil
	}}
}

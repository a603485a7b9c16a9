package engine

import (
	"cmp"
	"iter"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// Commands lists the commands of the entries that were checked, ordered by name.
func (c *Checker) Commands() []process.Command {
	return slices.SortedFunc(slices.Values(c.commands), func(a, b process.Command) int { return cmp.Compare(a.Name, b.Name) })
}

// command notes the command that an entry is, if it is one. Two of the same name are a problem of the second.
func (c *Checker) command(entry *registry.Entry) error {
	const field = "meta.command"
	meta, ok := entry.Meta["command"]
	if !ok {
		return nil
	}
	table, ok := meta.(map[string]any)
	if !ok {
		return &registry.FieldError{Field: field, Problem: "expected a mapping with name, short and use_case"}
	}
	var p registry.Problems
	command := process.Command{ID: entry.ID}
	for key, value := range table {
		target := map[string]*string{"name": &command.Name, "short": &command.Short, "use_case": &command.UseCase}[key]
		if target == nil {
			p.Addf(field+"."+key, "unknown field of meta.command%s", suggest.Among(key, []string{"name", "short", "use_case"}))
			continue
		}
		if *target, ok = value.(string); !ok {
			p.Addf(field+"."+key, "expected text")
		}
	}
	if name, given := table["name"]; !given {
		p.Addf(field, "name is required: it is what the user types")
	} else if _, isText := name.(string); isText {
		c.checkName(&p, field+".name", &command)
	}
	if command.UseCase != "" && command.UseCase != process.UseCaseTest {
		p.Addf(field+".use_case", "%q is not known: use %s, or leave it out", command.UseCase, process.UseCaseTest)
	}
	if err := p.Err(); err != nil {
		return err
	}
	c.commands = append(c.commands, command)
	return nil
}

// checkName finds out whether a command can have its name.
func (c *Checker) checkName(p *registry.Problems, field string, command *process.Command) {
	if !registry.IsName(command.Name) || command.Name[0] == '-' {
		p.Addf(field, "%q is not the name of a command", command.Name)
		return
	}
	// Entries of the same ID are complained about as such.
	i := slices.IndexFunc(c.commands, func(o process.Command) bool { return o.Name == command.Name && o.ID != command.ID })
	if i >= 0 {
		p.Addf(field, "there is another command %s: %s", command.Name, c.commands[i].ID)
	}
}

// Runnable says why the process of that ID cannot be run, nil if it can.
func Runnable(entries iter.Seq[*registry.Entry], id registry.ID) error {
	var known []string
	for entry := range entries {
		switch {
		case entry.ID == id && entry.Kind == process.KindLua:
			return nil
		case entry.ID == id:
			return errs.New(errs.Invalid, "run: the entry %q is a %s; only a %s can be run", id, entry.Kind, process.KindLua)
		case entry.Kind == process.KindLua:
			known = append(known, entry.ID.String())
		}
	}
	return errs.New(errs.NotFound, "run: there is no entry %q%s", id, suggest.Among(id.String(), known))
}

// TerminalAmong returns the host on which commands run: the first terminal.host that is started anyway, else the first
// that is declared, else one that has yet to be declared.
func TerminalAmong(entries iter.Seq[*registry.Entry]) (host *registry.Entry, declared bool) {
	for entry := range entries {
		if entry.Kind == process.KindTerminal && (host == nil || entry.Start && !host.Start) {
			host = entry
		}
	}
	if host != nil {
		return host, true
	}
	return &registry.Entry{
		ID: registry.ID{Namespace: "wippy", Name: "terminal"}, Kind: process.KindTerminal,
		Config: new(process.HostConfig), Lifecycle: supervisor.DefaultLifecycle(),
	}, false
}

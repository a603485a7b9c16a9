package engine

import (
	"reflect"
	"unsafe" // also for go:linkname

	lua "github.com/yuin/gopher-lua"
)

// What the engine reaches into gopher-lua for, which offers no other way: the functions that its virtual machine calls
// for each instruction, the closing of upvalues, and the place where a call was made. All of it is in this file. The
// linker refuses a gopher-lua without these names, the program does not start with one whose fields are others.

// instruction is a function of the virtual machine. It returns 1 when the loop that called it is to return.
type instruction func(L *lua.LState, inst uint32, base unsafe.Pointer) int

//go:linkname jumpTable github.com/yuin/gopher-lua.jumpTable
var jumpTable [lua.OP_NOP + 1]instruction //nolint:gochecknoglobals // it is gopher-lua's

// closeUpvalues detaches the closures of L from the registers from index on, as is done when a block ends.
//
//go:linkname closeUpvalues github.com/yuin/gopher-lua.(*LState).closeUpvalues
func closeUpvalues(L *lua.LState, index int)

//go:linkname stackTrace github.com/yuin/gopher-lua.(*LState).stackTrace
func stackTrace(L *lua.LState, level int) string

// native is the virtual machine as gopher-lua has made it. It is set when the program is started, before any script
// runs.
//
//nolint:gochecknoglobals // as is the table that it is taken from
var native struct {
	getTable, setTable, setField, setGlobal, setList, concat, call instruction

	// Where in a Lua thread are the flag that an error leaves upvalues to its handler, and the call that is being made.
	keepUpvalues, currentFrame uintptr
}

var _ = replaceInstructions()

// replaceInstructions puts the engine's own functions into the machine, for all states of the program.
func replaceInstructions() bool {
	native.keepUpvalues = fieldOf(reflect.TypeFor[lua.LState](), "hasErrorFunc", reflect.Bool).Offset
	frame := fieldOf(reflect.TypeFor[lua.LState](), "currentFrame", reflect.Pointer)
	native.currentFrame = frame.Offset
	if fieldOf(frame.Type.Elem(), "Idx", reflect.Int).Offset != 0 {
		panic(otherVersion)
	}
	for opcode, replacement := range map[int]struct {
		native *instruction
		own    instruction
	}{
		lua.OP_GETTABLE:   {&native.getTable, getTable},
		lua.OP_SETTABLE:   {&native.setTable, setTable},
		lua.OP_SETTABLEKS: {&native.setField, setField},
		lua.OP_SETGLOBAL:  {&native.setGlobal, setGlobal},
		lua.OP_SETLIST:    {&native.setList, setList},
		lua.OP_CONCAT:     {&native.concat, concat},
		lua.OP_CALL:       {&native.call, call},
	} {
		*replacement.native, jumpTable[opcode] = jumpTable[opcode], replacement.own
	}
	return true
}

const otherVersion = "engine: this gopher-lua is not the one that the engine was written for"

func fieldOf(t reflect.Type, name string, kind reflect.Kind) reflect.StructField {
	field, ok := t.FieldByName(name)
	if !ok || field.Type.Kind() != kind {
		panic(otherVersion)
	}
	return field
}

// depth is how many calls there are on the stack of L.
func depth(L *lua.LState) int {
	//nolint:gosec // a frame is there, whose first field is its index, as was looked at
	first := *(**int)(unsafe.Add(unsafe.Pointer(L), native.currentFrame))
	if first == nil {
		return 0
	}
	return *first + 1
}

// keepsUpvalues is gopher-lua's flag of L, whether a raised error leaves open the upvalues of all functions that run.
func keepsUpvalues(L *lua.LState) *bool {
	return (*bool)(unsafe.Add(unsafe.Pointer(L), native.keepUpvalues)) //nolint:gosec // a bool is there, as was looked at
}

// The operands of an instruction.
func argA(inst uint32) int { return int(inst >> 18 & 0xff) }
func argB(inst uint32) int { return int(inst & 0x1ff) }
func argC(inst uint32) int { return int(inst >> 9 & 0x1ff) }

// constantBit marks an operand B or C that is a constant and no register.
const constantBit = 1 << 8

// operand returns the value of an operand B or C that may be a constant.
func operand(L *lua.LState, arg int) lua.LValue {
	if arg&constantBit == 0 {
		return L.Get(arg + 1)
	}
	f, _ := caller(L, 0)
	return f.Proto.Constants[arg&^constantBit]
}

// setRegister assigns to a register of the running function.
func setRegister(L *lua.LState, register int, v lua.LValue) {
	if register >= L.GetTop() {
		L.SetTop(register + 1)
	}
	L.Replace(register+1, v)
}

// frame is a call that is being made.
type frame struct {
	function *lua.LFunction
	debug    *lua.Debug
}

// frameAt returns the call at level of the stack of L; 0 is the running one.
func frameAt(L *lua.LState, level int) (frame, bool) {
	d, ok := L.GetStack(level)
	if !ok {
		return frame{}, false
	}
	v, err := L.GetInfo("fl", d, lua.LNil)
	f, ok := v.(*lua.LFunction)
	return frame{f, d}, ok && err == nil
}

// number returns a field of gopher-lua's callFrame.
func (f frame) number(field string) int {
	return int(reflect.ValueOf(f.debug).Elem().FieldByName("frame").Elem().FieldByName(field).Int())
}

// pc is the index of the instruction that runs.
func (f frame) pc() int { return f.number("Pc") - 1 }

// registers is where the registers of the function begin.
func (f frame) registers() int { return f.number("LocalBase") }

package encode_test

import (
	"fmt"
	"log"

	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

func ExampleEncoder_AppendChange() {
	change := &cdc.Change{
		Op:          cdc.OpInsert,
		Table:       &sql.Table{Schema: "main", Name: "users", Key: []int{0}, Columns: []sql.Column{{Name: "id"}, {Name: "photo"}}},
		Transaction: &cdc.Transaction{Engine: cdc.EngineSQLite},
		After:       []sql.Value{sql.IntegerValue(1), sql.BlobValue("\x00\xff")},
	}
	line, err := encode.New().AppendChange(nil, cdc.FormatFlat, change)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
	// Output: {"id":1,"photo":"AP8=","$types":{"photo":"blob"}}
}

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.formats.common.TimestampFormat;
import org.apache.flink.formats.json.canal.CanalJsonDeserializationSchema;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ArrayNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;
import org.apache.flink.table.types.utils.TypeConversions;
import org.apache.flink.table.utils.DateTimeUtils;

/**
 * What Flink's own {@code canal-json} makes of messages, with the options that a table has by default.
 *
 * <pre>
 * java -Duser.timezone=UTC -cp CLASSPATH FlinkReader
 * </pre>
 *
 * Standard input: {@code {"columns":[["id","BIGINT"],["name","STRING"]]}}, a line with the columns and their types in Flink's SQL, and
 * then a message a line. Standard output: for each message, at once, a line with the rows that Flink emits:
 *
 * <pre>
 * [{"kind":"-U","row":["7",null]},{"kind":"+U","row":["7","x"]}]
 * {"error":"java.io.IOException: Corrupt Canal JSON message '...'.; caused by ..."}
 * </pre>
 *
 * Values are the texts of the converted values: numbers in digits (FLOAT and DOUBLE as Java writes them), times as Flink casts them
 * to STRING, bytes as hexadecimal digits.
 */
public class FlinkReader {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        // Nothing but results reaches standard output, whatever a library prints.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        System.setOut(System.err);
        // A message's bytes go to Flink as they came: one character a byte.
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1));
        String header = in.readLine();
        if (header == null) {
            System.err.println("FlinkReader: no line with the columns");
            System.exit(2);
        }
        RowType type = rowType(JSON.readTree(header.getBytes(StandardCharsets.ISO_8859_1)));
        DeserializationSchema<RowData> schema = CanalJsonDeserializationSchema
            .builder(TypeConversions.fromLogicalToDataType(type), Collections.emptyList(), InternalTypeInfo.of(type))
            .setIgnoreParseErrors(false)
            .setTimestampFormat(TimestampFormat.SQL)
            .build();
        schema.open(null);    // it looks at nothing of the context

        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(JSON.writeValueAsString(answer(schema, type, line.getBytes(StandardCharsets.ISO_8859_1))));
            out.flush();
        }
    }

    private static RowType rowType(JsonNode header) {
        List<RowType.RowField> fields = new ArrayList<>();
        for (JsonNode column : header.get("columns")) {
            LogicalType type = LogicalTypeParser.parse(column.get(1).asText(), FlinkReader.class.getClassLoader());
            fields.add(new RowType.RowField(column.get(0).asText(), type));
        }
        return new RowType(false, fields);
    }

    private static JsonNode answer(DeserializationSchema<RowData> schema, RowType type, byte[] message) {
        try {
            List<RowData> rows = new ArrayList<>();
            schema.deserialize(message, new ListCollector<>(rows));
            ArrayNode all = JSON.createArrayNode();
            for (RowData row : rows) {
                ObjectNode one = all.addObject();
                one.put("kind", row.getRowKind().shortString());
                ArrayNode values = one.putArray("row");
                for (int i = 0; i < type.getFieldCount(); i++) {
                    values.add(text(RowData.createFieldGetter(type.getTypeAt(i), i).getFieldOrNull(row), type.getTypeAt(i)));
                }
            }
            return all;
        } catch (Exception e) {
            StringBuilder words = new StringBuilder(e.toString());
            for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
                words.append("; caused by ").append(cause);
            }
            // Flink's own words repeat the message.
            String text = words.toString().replace(new String(message, StandardCharsets.UTF_8), "...");
            return JSON.createObjectNode().put("error", text);
        }
    }

    private static String text(Object value, LogicalType type) {
        if (value == null) {
            return null;
        }
        switch (type.getTypeRoot()) {
            case BOOLEAN:
            case TINYINT:
            case SMALLINT:
            case INTEGER:
            case BIGINT:
            case FLOAT:
            case DOUBLE:
            case DECIMAL:    // DecimalData writes no exponents
            case CHAR:
            case VARCHAR:
                return value.toString();
            case DATE:
                return DateTimeUtils.formatDate((Integer) value);
            case TIME_WITHOUT_TIME_ZONE:    // a time of day in milliseconds
                return DateTimeUtils.formatTimestampMillis((Integer) value, LogicalTypeChecks.getPrecision(type));
            case TIMESTAMP_WITHOUT_TIME_ZONE:
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE:    // in UTC
                return DateTimeUtils.formatTimestamp((TimestampData) value, DateTimeUtils.UTC_ZONE, LogicalTypeChecks.getPrecision(type));
            case BINARY:
            case VARBINARY:
                StringBuilder digits = new StringBuilder();
                for (byte b : (byte[]) value) {
                    digits.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
                }
                return digits.toString();
            default:
                throw new IllegalArgumentException("no text for a value of type " + type);
        }
    }
}

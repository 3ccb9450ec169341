import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONWriter;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;

/**
 * Writes the golden vectors of tests/golden/java: what Java itself and fastjson2 make of values that Canal renders
 * with them. The vectors are committed; this program is run by hand when one is to be added:
 *
 *   mvn dependency:copy -Dartifact=com.alibaba.fastjson2:fastjson2:2.0.31 -DoutputDirectory=target/lib
 *   java -cp 'target/lib/*' scripts/golden/JavaVectors.java tests/golden/java
 */
public class JavaVectors {
    public static void main(String[] arguments) throws IOException {
        String folder = arguments[0];
        try (PrintStream out = new PrintStream(folder + "/doubles.txt", StandardCharsets.UTF_8)) {
            doubles(out);
        }
        try (PrintStream out = new PrintStream(folder + "/floats.txt", StandardCharsets.UTF_8)) {
            floats(out);
        }
        try (PrintStream out = new PrintStream(folder + "/json_strings.txt", StandardCharsets.UTF_8)) {
            jsonStrings(out);
        }
        try (PrintStream out = new PrintStream(folder + "/string_hashes.txt", StandardCharsets.UTF_8)) {
            stringHashes(out);
        }
        try (PrintStream out = new PrintStream(folder + "/canal_partitions.txt", StandardCharsets.UTF_8)) {
            canalPartitions(out);
        }
    }

    // Bits in hexadecimal, then Double.toString. JDK 19 changed the text of a few values, to the shortest digits and of
    // those the nearest; values for which this JDK writes others are left out, so that the vectors hold for every JDK.
    static void doubles(PrintStream out) {
        out.println("# bits and text of Double.toString; written by scripts/golden/JavaVectors.java");
        Set<Double> values = new LinkedHashSet<>(List.of(0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 100.0, 1e-3, 9.999e-4, 1e-4,
            9999999.0, 9999999.999999998, 1e7, 1.0000001e7, 12345678.9, 1e15, 1e16, 1e17, 1e21, 1e22, 1e100, 1.0 / 3,
            2.0 / 3, Math.PI, Math.E, Double.MIN_VALUE, 2 * Double.MIN_VALUE, 3 * Double.MIN_VALUE,
            4 * Double.MIN_VALUE, 10 * Double.MIN_VALUE, 20 * Double.MIN_VALUE, 100 * Double.MIN_VALUE,
            Double.MIN_NORMAL, Double.MAX_VALUE, 9007199254740991.0, 9007199254740992.0, 9007199254740993.0,
            1.7976931348623155e308, 123456.789, 0.001234, 0.00123456789, 1e23, 2e23, 4.35, 0.3, 1.1, 2.2250738585072011e-308));
        Random random = new Random(1);
        for (int i = 0; i < 40; i++) {
            values.add(Double.longBitsToDouble(random.nextLong()));
            values.add(random.nextInt(1 << 30) / 100.0);
            values.add(random.nextInt(1 << 20) / 1000.0 / 1000.0);
            values.add((random.nextDouble() - 0.5) * 1e9);
            values.add(Double.longBitsToDouble(random.nextInt(40) + 1L));
        }
        for (double value : values) {
            String text = Double.toString(value);
            if (Double.isFinite(value) && new BigDecimal(text).compareTo(shortest(value)) == 0) {
                out.println(Long.toHexString(Double.doubleToRawLongBits(value)) + " " + text);
            }
        }
    }

    static void floats(PrintStream out) {
        out.println("# bits and text of Float.toString; written by scripts/golden/JavaVectors.java");
        Set<Float> values = new LinkedHashSet<>(List.of(0f, -0f, 1f, -1f, 0.1f, 0.5f, 100f, 1e-3f, 9.999e-4f, 1e-4f,
            9999999f, 1e7f, 1.6777216e7f, 16777215f, 1234567.9f, 1e10f, 1f / 3, Float.MIN_VALUE, 2 * Float.MIN_VALUE,
            3 * Float.MIN_VALUE, 4 * Float.MIN_VALUE, 10 * Float.MIN_VALUE, 100 * Float.MIN_VALUE, Float.MIN_NORMAL,
            Float.MAX_VALUE, 3.4e38f, 1.1f, 2.2f, 3.1415927f, 33554432f));
        Random random = new Random(2);
        for (int i = 0; i < 40; i++) {
            values.add(Float.intBitsToFloat(random.nextInt()));
            values.add(random.nextInt(1 << 20) / 100f);
            values.add(Float.intBitsToFloat(random.nextInt(40) + 1));
        }
        for (float value : values) {
            String text = Float.toString(value);
            if (Float.isFinite(value) && new BigDecimal(text).compareTo(shortest(value)) == 0) {
                out.println(Integer.toHexString(Float.floatToRawIntBits(value)) + " " + text);
            }
        }
    }

    // The shortest decimal that reads back as the value, of at least 2 digits as Java counts; of two the even one.
    static BigDecimal shortest(double value) {
        for (int digits = 2; ; digits++) {
            BigDecimal decimal = new BigDecimal(value).round(new MathContext(digits, RoundingMode.HALF_EVEN));
            if (decimal.doubleValue() == value) {
                return decimal;
            }
        }
    }

    static BigDecimal shortest(float value) {
        for (int digits = 2; ; digits++) {
            BigDecimal decimal = new BigDecimal(value).round(new MathContext(digits, RoundingMode.HALF_EVEN));
            if (decimal.floatValue() == value) {
                return decimal;
            }
        }
    }

    // UTF-8 in hexadecimal, then the JSON text, also in hexadecimal. Each string is written as it is and with a character
    // beyond Latin-1 after it: fastjson2 has one path for either kind.
    static void jsonStrings(PrintStream out) {
        out.println("# UTF-8 and fastjson2 2.0.31's JSON, hexadecimal; written by scripts/golden/JavaVectors.java");
        Set<String> values = new LinkedHashSet<>();
        for (int unit = 0; unit <= 0xa1; unit++) {
            values.add(String.valueOf((char) unit));
        }
        values.addAll(List.of("", "plain", "a\"b", "a\\b", "a/b</script>", "line\nbreak\r\n\ttab", "\u2027\u2028\u2029\u202a",
            "\u00e9\u00ff\u0100", "\u65e5\u672c\u8a9e", "\ud83d\ude00", "\ufeff\ufffd\uffff", "'single' & <tag>",
            "sixteen bytes ok", "a string that is longer than thirty-two bytes\u0000with a control in it",
            "a \"quoted\" string \\ that is longer than sixty-four bytes and has two escapes at either end\u001f"));
        for (String value : values) {
            for (String text : List.of(value, value + "\u4e2d")) {
                byte[] json = JSON.toJSONBytes(text, JSONWriter.Feature.WriteNulls);
                if (!new String(json, StandardCharsets.UTF_8).equals(JSON.toJSONString(text, JSONWriter.Feature.WriteNulls))) {
                    throw new IllegalStateException("fastjson2 writes two texts for one string");
                }
                out.println(hex(text.getBytes(StandardCharsets.UTF_8)) + " " + hex(json));
            }
        }
    }

    static String hex(byte[] bytes) {
        StringBuilder hex = new StringBuilder("x");
        for (byte b : bytes) {
            hex.append(String.format("%02x", b));
        }
        return hex.toString();
    }

    static void stringHashes(PrintStream out) {
        out.println("# String.hashCode and UTF-8 in hexadecimal; written by scripts/golden/JavaVectors.java");
        for (String text : List.of("", "a", "0", "-1", "polygenelubricants", "shop.orders", "Shop.Orders", "18446744073709551615",
            "2024-02-29 23:59:59.000001", "caf\u00e9", "\u00ff\u0080\u0000", "\u65e5\u672c\u8a9e", "\ud83d\ude00 smile",
            "exactly 8", "a sentence of more than thirty-two bytes, all of them ASCII", "ASCII first, then \u4e2d\u6587, then ASCII again")) {
            out.println(text.hashCode() + " " + hex(text.getBytes(StandardCharsets.UTF_8)));
        }
    }

    // Canal's rule for a key: the hash codes of the database and of each value, NULL as "", combined by XOR.
    static void canalPartitions(PrintStream out) {
        out.println("# partition count, database, table, key values (. is NULL), partition by table, partition by key;");
        out.println("# written by scripts/golden/JavaVectors.java");
        List<List<String>> keys = List.of(List.of("1"), List.of("-1"), List.of("polygenelubricants"), List.of("7", "7"), List.of("7", "8"),
            List.of("8", "7"), List.of("."), List.of(".", "x"), List.of("\u65e5\u672c\u8a9e"), List.of("18446744073709551615", "2024-02-29", "12.50"));
        for (int partitions : new int[] {1, 3, 12, 64}) {
            for (List<String> key : keys) {
                for (String[] name : new String[][] {{"shop", "orders"}, {"", "polygenelubricants"}}) {
                    int hash = name[0].hashCode();
                    for (String value : key) {
                        hash ^= (value.equals(".") ? "" : value).hashCode();
                    }
                    int byKey = Math.abs(Math.abs(hash) % partitions);
                    int byTable = Math.abs(Math.abs(name[1].hashCode()) % partitions);
                    out.println(String.join("\t", String.valueOf(partitions), name[0], name[1], String.join(" ", key),
                        String.valueOf(byTable), String.valueOf(byKey)));
                }
            }
        }
    }
}

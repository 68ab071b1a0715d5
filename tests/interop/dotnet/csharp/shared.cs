// What client and server have in common: contracts, and types that travel by value.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Runtime.Remoting.Messaging;
using System.Runtime.Serialization;

// The published classic, as it stands in a thousand tutorials.
public class RemoteObjectDef : MarshalByRefObject
{
    public virtual void SetValue(string value) { throw new NotImplementedException(); }
    public virtual string GetValue() { throw new NotImplementedException(); }
}

namespace Shop
{
    public enum Color { Red = 1, Green = 2, Blue = 40 }
    public enum Tiny : byte { Zero, One }

    [Serializable] public struct Point
    {
        public int X, Y;
        public Point(int x, int y) { X = x; Y = y; }
    }

    [Serializable] public class Person
    {
        public string Name { get; set; }
        public int Age { get; set; }
        public Person Friend { get; set; }
        public List<Person> Children { get; set; }
        public Color Favourite { get; set; }
        public Point? Home { get; set; }
    }

    // What derives from another has that one's private fields too, also where it has some of the same name.
    [Serializable] public class Manager : Person
    {
        public int Level { get; set; }
    }

    [Serializable] public class Machine
    {
        public const string Unit = "mm";
        private int number;
        protected string maker;
        public int Wheels;
        public Machine(int number, string maker) { this.number = number; this.maker = maker; }
        public string Said() { return number + maker + Wheels; }
    }

    [Serializable] public class Robot : Machine
    {
        private int number;
        public Robot(int number, int own) : base(number, "acme") { this.number = own; }
        public string SaidAll() { return number + " " + Said(); }
    }

    [Serializable] public class Node
    {
        public int value;
        public Node next;
    }

    [Serializable] public class OutOfStock : Exception
    {
        public int Left;
        public OutOfStock(string message, int left) : base(message) { Left = left; }
        protected OutOfStock(SerializationInfo info, StreamingContext context) : base(info, context)
        {
            Left = info.GetInt32("Left");
        }
        public override void GetObjectData(SerializationInfo info, StreamingContext context)
        {
            base.GetObjectData(info, context);
            info.AddValue("Left", Left);
        }
    }

    public interface IValues
    {
        bool EchoBool(bool v); byte EchoByte(byte v); sbyte EchoSbyte(sbyte v); short EchoShort(short v);
        ushort EchoUshort(ushort v); int EchoInt(int v); uint EchoUint(uint v); long EchoLong(long v);
        ulong EchoUlong(ulong v); float EchoFloat(float v); double EchoDouble(double v); char EchoChar(char v);
        decimal EchoDecimal(decimal v); string EchoString(string v); DateTime EchoTime(DateTime v);
        TimeSpan EchoSpan(TimeSpan v); Guid EchoGuid(Guid v); byte[] EchoBytes(byte[] v); int[] EchoInts(int[] v);
        string[] EchoStrings(string[] v); int[][] EchoJagged(int[][] v); int[,] EchoGrid(int[,] v);
        List<int> EchoList(List<int> v); List<string> EchoTexts(List<string> v);
        Dictionary<string, int> EchoDictionary(Dictionary<string, int> v); Hashtable EchoTable(Hashtable v);
        ArrayList EchoArrayList(ArrayList v); object EchoObject(object v); Color EchoColor(Color v); Tiny EchoTiny(Tiny v);
        Point EchoPoint(Point v); Point[] EchoPoints(Point[] v); Color[] EchoColors(Color[] v);
        Person EchoPerson(Person v); List<Person> EchoPeople(List<Person> v); int? EchoMaybe(int? v);
        DateTime[] EchoTimes(DateTime[] v); decimal[] EchoDecimals(decimal[] v); Node EchoNode(Node v);
        Dictionary<Guid, Person> EchoRegister(Dictionary<Guid, Person> v);
        int[,,] EchoCube(int[,,] v);
        Dictionary<string, List<int>> EchoLists(Dictionary<string, List<int>> v);
        List<Point> EchoPointList(List<Point> v);
        Person[] EchoPersons(Person[] v);
        string[,] EchoWords(string[,] v);
        Dictionary<Color, Point> EchoMarks(Dictionary<Color, Point> v);
    }

    public interface ICounter
    {
        int Next();
        int Value { get; set; }
    }

    public interface IResettable : ICounter
    {
        int Reset(int value);
    }

    public interface ITalk
    {
        string Join(string a, string b);
        string Join(string a, int b);
        int Divide(int a, int b, out int rest);
        void Swap(ref string a, ref string b);
        void Find(string name, out Person person);
        [OneWay] void Note(string text);
        string Notes();
        void Sell(int count);
        void Fail(string kind);
        ICounter NewCounter(int start);
        int Drive(ICounter counter);
        bool IsMine(ICounter counter);
        string Unknown(object anything);
    }

    public delegate void SaidHandler(string text);

    // Calls its clients: by a listener, or by an event.
    public interface IRadio
    {
        void Listen(IListener listener);
        event SaidHandler Heard;
        event EventHandler Switched;
        event EventHandler<Told> Told;
        int Say(string text);
        void Switch();
        void Tell(string text);
    }

    [Serializable] public class Told : EventArgs { public string Text; }

    // What a server must know of whoever listens to its events.
    public class Ear : MarshalByRefObject
    {
        public virtual void OnHeard(string text) { throw new NotImplementedException(); }
        public virtual void OnSwitched(object sender, EventArgs e) { throw new NotImplementedException(); }
        public virtual void OnTold(object sender, Told e) { throw new NotImplementedException(); }
    }

    public interface IListener
    {
        int Said(string text);
    }

    // Made by clients, with arguments.
    public class Basket : MarshalByRefObject
    {
        public Basket() { }
        public Basket(string owner, int size) { throw new NotImplementedException(); }
        public virtual string Describe() { throw new NotImplementedException(); }
        public virtual Basket Again(Basket other) { throw new NotImplementedException(); }
    }
}

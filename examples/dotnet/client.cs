// The old client. It is compiled once, and never again; where the server is, tcp:// or http://, its configuration says.
using System;

public class Client
{
    public static void Main(string[] args)
    {
        var remote = (RemoteObjectDef)Activator.GetObject(typeof(RemoteObjectDef), args[0] + "/RemoteObjectURL");
        Console.WriteLine(remote.GetValue());
        remote.SetValue("000");
        Console.WriteLine("left 000");
    }
}
